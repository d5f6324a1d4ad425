// Prints the digest of every kind of file that the command line writes for the bundled model. Compare the output before and after a
// change that should not change any bytes. Lossy files depend on the machine's arithmetic: compare only runs on one machine.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const command = join(process.argv[2] ?? root, 'dist/cli/main.js');
const scratch = mkdtempSync(join(tmpdir(), 'golden-'));
const model = join(scratch, 'gpt-neo-tiny');
const llama = join(scratch, 'llama');
cpSync(join(root, 'fixtures/architectures/llama'), llama, { recursive: true });
cpSync(join(root, 'examples/gpt-neo-tiny'), model, { recursive: true });

/** Name of the file that a command writes, and its arguments; `-o` is added before the name. */
const FILES = {
  'lossless.wpk': ['compress', model],
  'bits.wpk': ['compress', model, '--bits', '3', '--calibration-tokens', '8192'],
  'kl.wpk': ['compress', model, '--kl', '0.05', '--calibration-tokens', '8192'],
  'size.wpk': ['compress', model, '--size', '400KB', '--calibration-tokens', '8192', '--tune'],
  'weights-alone.wpk': ['compress', model, '--ratio', '9', '--no-calibration'],
  'statistics.wpk': [
    'compress',
    model,
    '--bits',
    '2.5',
    '--calibration-tokens',
    '8192',
    '--statistics',
    join(scratch, 'moments'),
  ],
  'dct.wpk': ['compress', model, '--codec', 'dct', '--ratio', '8'],
  'rft.wpk': ['compress', model, '--codec', 'rft', '--ratio', '8', '--keep-largest'],
  'f16.gguf': ['decompress', llama, '--format', 'gguf'],
  'q8_0.gguf': ['decompress', llama, '--format', 'gguf', '--dtype', 'Q8_0'],
  bf16: ['decompress', join(scratch, 'bits.wpk'), '--format', 'safetensors', '--dtype', 'BF16'],
  'gguf.wpk': ['compress', join(scratch, 'f16.gguf')],
};

const digest = (path) => createHash('sha256').update(readFileSync(path)).digest('hex').slice(0, 16);

for (const [name, words] of Object.entries(FILES)) {
  const path = join(scratch, name);
  execFileSync(process.execPath, [command, ...words, '-o', path], { stdio: ['ignore', 'ignore', 'inherit'] });
  const inside = join(path, 'model.safetensors');
  console.log(digest(existsSync(inside) ? inside : path), name);
}
console.log(digest(join(scratch, 'moments')), 'statistics');
rmSync(scratch, { recursive: true });
