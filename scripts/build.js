// Builds everything: kernels (AssemblyScript -> WebAssembly -> bytes in a module), then TypeScript.
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';

/** Runs a tool by its script, because Windows cannot execute the files in node_modules/.bin. What it says is printed if it fails. */
const run = (script, ...args) => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [`node_modules/${script}`, ...args]);
  if (status === 0) return;
  process.stderr.write(Buffer.concat([stdout, stderr]));
  process.exit(1);
};

const ASSEMBLY = 'src/wasm/assembly';

mkdirSync('dist/wasm', { recursive: true });
const modules = readdirSync(ASSEMBLY).filter((name) => name.endsWith('.ts'));
const changedAt = Math.max(
  ...modules.map((name) => statSync(`${ASSEMBLY}/${name}`).mtimeMs),
  statSync('src/wasm/constants.ts').mtimeMs,
  statSync('scripts/build.js').mtimeMs,
);
mkdirSync('src/wasm/compiled', { recursive: true });
for (const file of modules.filter((name) => !name.startsWith('_'))) {
  const name = file.replace('.ts', '');
  const wasm = `dist/wasm/${name}.wasm`;
  if (!existsSync(wasm) || statSync(wasm).mtimeMs < changedAt)
    // biome-ignore format: one option a line reads worse
    run('assemblyscript/bin/asc.js', `${ASSEMBLY}/${file}`, '-o', wasm, '-O3', '--noAssert', '--converge', '--runtime', 'stub', '--enable', 'simd',
    '--enable', 'bulk-memory', '--use', 'abort=');
  // one file each, so that a page loads only the kernels that it runs
  const source = `export const ${name} =\n  '${readFileSync(wasm).toString('base64')}';\n`;
  writeFileSync(
    `src/wasm/compiled/${name}.ts`,
    `// Made by scripts/build.js from assembly/${file}.\n${source}`,
  );
}
run('typescript/bin/tsc', '--build', '--force');
chmodSync('dist/cli/main.js', 0o755);
