import react from '@vitejs/plugin-react'
import { defineConfig } from 'vite'

const newsroom = process.env.NEWSROOM ?? 'http://127.0.0.1:8000'

export default defineConfig({
  plugins: [react()],
  // The page and its socket share one address, as they do behind a real server.
  server: { proxy: { '/ws': { target: newsroom, ws: true }, '/sign-in': newsroom } },
})
