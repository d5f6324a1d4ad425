// Bundles weightpress/browser: the module and its worker, which pages load directly. Prints the bytes that a page downloads.
import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { build } from 'rolldown';

await build({
  input: {
    index: 'dist/browser/index.js',
    'decode-worker': 'dist/browser/decode-worker.js',
    run: 'dist/browser/run.js',
    transformers: 'dist/browser/transformers.js',
  },
  platform: 'browser',
  plugins: [withoutEncoders()],
  output: {
    dir: 'dist/web',
    minify: true,
    cleanDir: true,
    entryFileNames: '[name].js',
    chunkFileNames: '[name].js',
  },
});
/** Returns a plugin that puts the kernels for decoding in place of all of the lossless codec: pages encode nothing. */
function withoutEncoders() {
  return {
    name: 'without-encoders',
    load: (id) =>
      /[/\\]wasm[/\\]compiled[/\\]lossless\.js$/.test(id)
        ? readFileSync(id.replace(/lossless\.js$/, 'decoding.js'), 'utf8').replace(
            'const decoding',
            'const lossless',
          )
        : undefined,
  };
}

/** Returns a module and its static imports, by name; modules imported on demand, for GGUF, are not included. */
function withImports(name, seen = new Set()) {
  if (seen.has(name)) return seen;
  seen.add(name);
  const source = readFileSync(`dist/web/${name}`, 'utf8').replaceAll(/\bimport\(["'`][^)]*\)/g, '');
  for (const [, imported] of source.matchAll(/["'`]\.\/([\w.-]+\.js)["'`]/g)) withImports(imported, seen);
  return seen;
}

for (const [entry, name] of [
  ['index.js', 'weightpress/browser'],
  ['run.js', 'weightpress/browser/run'],
  ['transformers.js', 'weightpress/transformers'],
]) {
  const files = [...withImports(entry)];
  const bytes = files.reduce((sum, file) => sum + gzipSync(readFileSync(`dist/web/${file}`)).length, 0);
  console.log(`${name.padEnd(24)} ${bytes} bytes compressed: ${files.join(', ')}`);
}
