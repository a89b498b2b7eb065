import { defineConfig } from 'tsdown'

export default defineConfig({
  entry: ['src/index.ts', 'src/react.ts', 'src/compat.ts', 'src/tanstack.ts', 'src/topics.ts', 'src/vanilla.ts'],
  format: ['esm', 'cjs'],
  target: 'es2022',
  platform: 'neutral',
  dts: true,
  sourcemap: true,
  outExtensions: ({ format }) => ({ js: format === 'cjs' ? '.cjs' : '.mjs', dts: format === 'cjs' ? '.d.cts' : '.d.mts' }),
})
