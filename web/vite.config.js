import { realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { defaultClientConditions, defineConfig } from 'vite';
import { examples } from './examples.js';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

/** Headers for cross-origin isolation, which WebAssembly threads need. Without them the page uses one thread. */
const headers = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
};

export default defineConfig({
  root: here('.'),
  base: './',
  plugins: [examples(here('public'))],
  // the runtime's threads load its own module, not the page's bundle
  resolve: { conditions: ['onnxruntime-web-use-extern-wasm', ...defaultClientConditions] },
  worker: { format: 'es' },
  // node_modules may be a link to a folder elsewhere
  server: { headers, fs: { allow: [here('..'), realpathSync(here('../node_modules'))] } },
  preview: { headers },
  optimizeDeps: { exclude: ['onnxruntime-web'] },
  build: { outDir: here('../dist/page'), emptyOutDir: true, target: 'es2022', chunkSizeWarningLimit: 2000 },
});
