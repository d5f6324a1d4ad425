import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { defaultClientConditions, defineConfig } from 'vite';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

/** The bundled models, compressed with the built command line. */
const MODELS = {
  'tiny.wpk': ['--bits', '3', '--calibration-tokens', '8192'],
  'tiny-lossless.wpk': [],
};

function bundledModels() {
  mkdirSync(here('public'), { recursive: true });
  for (const [name, flags] of Object.entries(MODELS)) {
    const output = here(`public/${name}`);
    if (existsSync(output)) continue;
    const args = ['compress', here('../examples/gpt-neo-tiny'), '-o', output, ...flags];
    execFileSync(process.execPath, [here('../dist/cli/main.js'), ...args], { stdio: 'ignore' });
  }
}

/** Headers for cross-origin isolation, which WebAssembly threads need. */
const headers = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
};

export default defineConfig({
  root: here('.'),
  base: './',
  plugins: [{ name: 'bundled-models', buildStart: bundledModels }],
  // the runtime's threads load its own module, not the page's bundle
  resolve: { conditions: ['onnxruntime-web-use-extern-wasm', ...defaultClientConditions] },
  worker: { format: 'es' },
  server: { headers },
  preview: { headers },
  optimizeDeps: { exclude: ['onnxruntime-web'] },
  build: { outDir: here('../dist/page'), emptyOutDir: true, target: 'es2022', chunkSizeWarningLimit: 2000 },
});
