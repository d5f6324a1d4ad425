// Bundles weightpress/browser: the module and its worker, which pages load as they are. Prints what a page downloads.
import { readdirSync, readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { build } from 'rolldown';

await build({
  input: { index: 'dist/browser/index.js', 'decode-worker': 'dist/browser/decode-worker.js' },
  platform: 'browser',
  output: {
    dir: 'dist/web',
    minify: true,
    cleanDir: true,
    entryFileNames: '[name].js',
    chunkFileNames: '[name].js',
  },
});
let total = 0;
for (const name of readdirSync('dist/web')) {
  const bytes = gzipSync(readFileSync(`dist/web/${name}`)).length;
  total += bytes;
  console.log(`${name.padEnd(24)} ${bytes} bytes compressed`);
}
console.log(`${'weightpress/browser'.padEnd(24)} ${total} bytes compressed`);
