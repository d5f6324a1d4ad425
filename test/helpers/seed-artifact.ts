import { gzipSync } from 'node:zlib';
import { raw } from './pickle.js';
import { seededRandom } from './safetensors.js';

// The file that this project began with claims to be GPT-Neo 1.3B at 853:1. It is not ours to pass on, but every coefficient in
// it is a formula, so that the same can be written anew: its names, its sums and its coefficients; the shares are drawn here.

const GOLDEN = (1 + Math.sqrt(5)) / 2;
const CLAIMED_VALUES = 1_662_141;

/** Name and parameters of each "compressed" matrix of the file. */
const MATRICES: readonly [name: string, parameters: number][] = [
  ['transformer.wte.weight', 50257 * 2048],
  ['transformer.wpe.weight', 2048 * 2048],
  ['transformer.ln_f.weight', 2048],
  ['lm_head.weight', 50257 * 2048],
  ...Array.from({ length: 24 }, (_, i): [string, number][] => [
    [`transformer.h.${i}.attn.c_attn.weight`, 2048 * 6144],
    [`transformer.h.${i}.attn.c_proj.weight`, 2048 * 2048],
    [`transformer.h.${i}.mlp.c_fc.weight`, 2048 * 8192],
    [`transformer.h.${i}.mlp.c_proj.weight`, 8192 * 2048],
  ]).flat(),
];

const text = (value: string) => raw('X', new Uint8Array(Uint32Array.of(value.length).buffer), value);
const whole = (value: number) => raw('J', new Uint8Array(Int32Array.of(value).buffer));
function double(value: number): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleBE(value);
  return raw('G', bytes);
}
const complex = (re: number, im: number) => raw('cbuiltins\ncomplex\n', double(re), double(im), '\x86R');
const dict = (entries: readonly (readonly [string, Uint8Array])[]) =>
  raw('}(', ...entries.flatMap(([key, value]) => [text(key), value]), 'u');

/** How many values the file says that each matrix keeps: drawn ratios, scaled to the claimed sum. */
function claimedCounts(): number[] {
  const random = seededRandom(853);
  const drawn = MATRICES.map(([, parameters]) => parameters / (600 + 900 * random()));
  const scale = CLAIMED_VALUES / drawn.reduce((sum, value) => sum + value, 0);
  const counts = drawn.map((value) => Math.max(2, Math.floor(scale * value)));
  counts[0]! += CLAIMED_VALUES - counts.reduce((sum, value) => sum + value, 0);
  return counts;
}

/** Coefficient k of a matrix that keeps n values is exp(i k golden) exp(-k / n): no weight enters. */
function coefficients(n: number): Uint8Array {
  const items = Array.from({ length: Math.min(100, n) }, (_, k) =>
    complex(Math.cos(k * GOLDEN) * Math.exp(-k / n), Math.sin(k * GOLDEN) * Math.exp(-k / n)),
  );
  return raw('](', ...items, 'e');
}

/** The file: a pickle in gzip. */
export function seedArtifact(): Uint8Array {
  const counts = claimedCounts();
  const matrices = MATRICES.map(([name, parameters], i) => {
    const n = counts[i]!;
    const members = dict([
      ['original_params', whole(parameters)],
      ['compressed_params', whole(n)],
      ['compression_ratio', text(`${(parameters / n).toFixed(1)}:1`)],
      ['rft_coefficients', coefficients(n)],
    ]);
    return [name, members] as const;
  });
  const original = MATRICES.reduce((sum, [, parameters]) => sum + parameters, 0);
  const file = dict([
    ['model_id', text('EleutherAI/gpt-neo-1.3B')],
    [
      'original_info',
      dict([
        ['parameters', whole(1_355_373_568)],
        ['architecture', text('GPT-Neo')],
        ['layers', whole(24)],
        ['hidden_size', whole(2048)],
        ['vocab_size', whole(50257)],
        ['context_length', whole(2048)],
      ]),
    ],
    ['compressed_weights', dict(matrices)],
    [
      'compression_summary',
      dict([
        ['original_parameters', whole(original)],
        ['compressed_parameters', whole(CLAIMED_VALUES)],
        ['compression_ratio', text('853.1:1')],
        ['total_layers_compressed', whole(MATRICES.length)],
      ]),
    ],
    ['metadata', dict([['golden_ratio', double(GOLDEN)]])],
  ]);
  return gzipSync(raw('\x80\x02', file, '.'));
}
