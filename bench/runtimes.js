// What onnxruntime-node saves over the WebAssembly that comes with the package, job by job; and start-up time.
//   node bench/runtimes.js [MODEL] [--runs 3]
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { machine, measure, median } from './measure.js';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { runs: { type: 'string', default: '3' } },
});
const [model = here('../fixtures/models/gpt-neo-small')] = positionals;
const program = here('../dist/cli/main.js');
const place = mkdtempSync(join(tmpdir(), 'weightpress-runtimes-'));
const output = join(place, 'model.wpk');

const JOBS = {
  'evaluate, 16,384 tokens': [
    'evaluate',
    model,
    '--text',
    here('../fixtures/text/evaluation.txt'),
    '--tokens',
    '16384',
  ],
  'generate, 200 tokens': ['generate', model, 'The', '--tokens', '200'],
  'compress --bits 3': ['compress', model, '-o', output, '--bits', '3', '--force'],
};

/** Medians of the seconds of commands, run in turn. */
async function inTurn(commands) {
  const seconds = commands.map(() => []);
  for (let run = 0; run < Number(values.runs); run++)
    for (const [i, { env, args }] of commands.entries()) {
      Object.assign(process.env, env);
      seconds[i].push((await measure([process.execPath, ...args])).seconds);
    }
  return seconds.map(median);
}

console.log(`${machine()}; medians of ${values.runs}\n`);
console.log('| job | onnxruntime-node | WebAssembly | share |\n|---|---|---|---|');
for (const [name, args] of Object.entries(JOBS)) {
  const commands = ['native', 'wasm'].map((runtime) => ({
    env: { WEIGHTPRESS_RUNTIME: runtime },
    args: [program, ...args],
  }));
  const [native, wasm] = await inTurn(commands);
  console.log(
    `| ${name} | ${native.toFixed(2)} s | ${wasm.toFixed(2)} s | ${((100 * native) / wasm).toFixed(0)} % |`,
  );
}
const [bare, version] = await inTurn([{ args: ['-e', '0'] }, { args: [program, '--version'] }]);
console.log(`\nweightpress --version takes ${(version / bare).toFixed(2)} times as long as node -e 0.`);
rmSync(place, { recursive: true });
