import { defineConfig } from 'vitest/config'

const at = (path: string) => new URL(path, import.meta.url).pathname

export default defineConfig({
  test: {
    projects: [
      { test: { name: 'unit', include: ['tests/unit/**/*.test.{ts,tsx}'], environment: 'node' } },
      { test: { name: 'react 19', include: ['tests/react/**/*.test.tsx'], environment: 'happy-dom' } },
      {
        resolve: {
          alias: [
            { find: /^react$/, replacement: at('tests/react18/node_modules/react/index.js') },
            { find: /^react\/jsx-(dev-)?runtime$/, replacement: at('tests/react18/node_modules/react/jsx-$1runtime.js') },
            { find: /^react-dom\/client$/, replacement: at('tests/react18/node_modules/react-dom/client.js') },
          ],
        },
        test: { name: 'react 18', include: ['tests/react/**/*.test.tsx'], environment: 'happy-dom' },
      },
      { test: { name: 'built', include: ['tests/built/**/*.test.ts'], environment: 'node' } },
      { test: { name: 'server', include: ['tests/server/**/*.test.ts'], environment: 'node', testTimeout: 20_000, hookTimeout: 30_000 } },
    ],
  },
})
