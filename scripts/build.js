// Builds everything: kernels (AssemblyScript -> WebAssembly -> bytes in a module), then TypeScript.
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';

const run = (tool, ...args) => execFileSync(`node_modules/.bin/${tool}`, args, { stdio: 'inherit' });

mkdirSync('dist/kernels', { recursive: true });
const modules = readdirSync('src/kernels/assembly').filter((name) => name.endsWith('.ts'));
let source = '// Made by scripts/build.js from the modules in assembly/.\n';
for (const file of modules.filter((name) => !name.startsWith('_') && name !== 'tsconfig.json')) {
  const name = file.replace('.ts', '');
  const wasm = `dist/kernels/${name}.wasm`;
  // biome-ignore format: one option a line reads worse
  run('asc', `src/kernels/assembly/${file}`, '-o', wasm, '-O3', '--noAssert', '--converge', '--runtime', 'stub', '--enable', 'simd',
    '--enable', 'bulk-memory', '--use', 'abort=');
  source += `export const ${name} =\n  '${readFileSync(wasm).toString('base64')}';\n`;
}
writeFileSync('src/kernels/compiled.ts', source);
rmSync('dist/.tsbuildinfo', { force: true });
run('tsc', '-p', 'tsconfig.json');
chmodSync('dist/cli/main.js', 0o755);
