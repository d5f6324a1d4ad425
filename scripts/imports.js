// Reads the imports between the folders of src/. `node scripts/imports.js` writes the diagram in ARCHITECTURE.md;
// test/imports.test.ts checks the code against the order below.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../', import.meta.url));

/** Folders from the bottom up: each may import those before it. Files in src/ itself come last. */
export const LAYERS = [
  ['core', 'errors, bytes, dtypes, what a Model and a Folder are'],
  ['wasm', 'kernels in AssemblyScript and their handles'],
  ['io', 'byte sources over files, servers and blobs; outputs'],
  ['workers', 'one pool of threads, in Node and in pages'],
  ['stores', 'objects in buckets and shared folders'],
  ['queue', 'jobs on Redis or PostgreSQL'],
  ['onnx', 'graphs, their gradients, the runtimes that run them'],
  ['tokenizer', 'text to tokens and back'],
  ['codecs', 'blocks of a tensor to bytes and back'],
  ['grids', 'formats whose weights are codes on grids'],
  ['architectures', 'roles and shapes of tensors, forward passes'],
  ['models', 'files and folders that can be read as a Model'],
  ['inference', 'forward passes, generation'],
  ['transformers-js', 'a model as one ONNX graph, and the files around it'],
  ['evaluation', 'perplexity, divergence'],
  ['hub', 'repositories as folders'],
  ['wpk', 'the .wpk file'],
  ['open', 'what a path, address or name leads to'],
  ['quantization', 'from a model and a budget to integers'],
  ['operations', 'compress, decompress, verify, export …'],
  ['machines', 'compress on many machines'],
  ['audit', 'claims and files: what their numbers can be'],
  ['experiments', 'transforms beside the quantizer'],
  ['browser', 'the library in a page'],
  ['cli', 'the command line'],
];

const rank = new Map(LAYERS.map(([name], i) => [name, i]));

/** Returns every source file with its imports, as paths below src/. */
export function readImports() {
  const files = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
    .map((name) => name.replaceAll('\\', '/'))
    .filter((name) => name.endsWith('.ts') && !name.startsWith('wasm/assembly/'))
    .sort();
  return new Map(
    files.map((file) => {
      const source = readFileSync(join(ROOT, 'src', file), 'utf8');
      const specifiers = [...source.matchAll(/(?:from|import|import\(|new URL\()\s*'(\.[^']+\.js)'/g)].map(
        ([, path]) => path,
      );
      const imported = specifiers.map((path) => posix.join(dirname(file), path).replace(/\.js$/, '.ts'));
      return [file, [...new Set(imported)]];
    }),
  );
}

const folderOf = (file) => (file.includes('/') ? file.split('/')[0] : 'src');

/** Returns imports of a higher folder, as `from -> to`. */
export function forbiddenImports(imports = readImports()) {
  const up = (from, to) =>
    (rank.get(folderOf(to)) ?? LAYERS.length) > (rank.get(folderOf(from)) ?? LAYERS.length);
  return [...imports].flatMap(([from, list]) =>
    list.filter((to) => up(from, to)).map((to) => `${from} -> ${to}`),
  );
}

/** Files that import each other in a circle, each circle once, as a list of paths. */
export function circles(imports = readImports()) {
  const found = [];
  const done = new Set();
  const visit = (file, path) => {
    const at = path.indexOf(file);
    if (at >= 0) return void found.push([...path.slice(at), file]);
    if (done.has(file)) return;
    for (const next of imports.get(file) ?? []) visit(next, [...path, file]);
    done.add(file);
  };
  for (const file of imports.keys()) visit(file, []);
  return found;
}

/** Returns the folders and their imports as a Mermaid diagram, without imports that a longer path implies. */
export function drawFolders(imports = readImports()) {
  const direct = new Map(LAYERS.map(([name]) => [name, new Set()]));
  for (const [from, list] of imports)
    for (const to of list) if (folderOf(from) !== folderOf(to)) direct.get(folderOf(from))?.add(folderOf(to));
  const reach = new Map();
  for (const [name] of LAYERS)
    reach.set(name, new Set([...direct.get(name)].flatMap((to) => [to, ...(reach.get(to) ?? [])])));
  const lines = LAYERS.flatMap(([name]) =>
    [...direct.get(name)]
      .filter((to) => ![...direct.get(name)].some((other) => other !== to && reach.get(other)?.has(to)))
      .map((to) => `  ${name} --> ${to}`),
  );
  return ['```mermaid', 'flowchart TD', ...lines, '```'].join('\n');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const path = join(ROOT, 'ARCHITECTURE.md');
  const text = readFileSync(path, 'utf8');
  const drawn = text.replace(/```mermaid[\s\S]*?```/, drawFolders());
  if (drawn !== text) writeFileSync(path, drawn);
  console.log(drawFolders());
}
