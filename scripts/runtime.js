// Copies the WebAssembly of onnxruntime-web, with its loader in one module, so that the package needs no other runtime.
import { copyFileSync, mkdirSync } from 'node:fs';
import { build } from 'rolldown';

const FROM = 'node_modules/onnxruntime-web/dist';
const TO = 'dist/onnxruntime';

mkdirSync(TO, { recursive: true });
await build({
  input: { index: 'onnxruntime-web' },
  platform: 'node',
  output: { dir: TO, minify: true, cleanDir: true, entryFileNames: '[name].js' },
});
for (const name of ['ort-wasm-simd-threaded.mjs', 'ort-wasm-simd-threaded.wasm'])
  copyFileSync(`${FROM}/${name}`, `${TO}/${name}`);
copyFileSync('scripts/onnxruntime-license.txt', `${TO}/LICENSE`);
