// ONNX files for transformers.js: graphs of whole models, compared with the reference implementation in ONNX Runtime itself.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { fromFloat16 } from '../src/core/float16.js';
import type { Model } from '../src/core/model.js';
import { ONNX_GRIDS } from '../src/grids/onnx.js';
import { roundToGrids } from '../src/grids/round.js';
import '../src/onnx/node/no-telemetry.js';
import { makeOnnxFiles, type OnnxFileOptions } from '../src/transformers-js/onnx-files.js';
import { FAMILIES, RUNNABLE, TINY } from './helpers/fixtures.js';
import { expectedOf, largestDifference, refusalOf } from './helpers/logits.js';
import { MemoryModel } from './helpers/memory-model.js';
import { folder, seededRandom } from './helpers/safetensors.js';

const ort = await import('onnxruntime-node');

type Session = Awaited<ReturnType<typeof ort.InferenceSession.create>>;
type Feeds = Record<string, InstanceType<typeof ort.Tensor>>;

const int64 = (values: readonly number[], dims: readonly number[]) =>
  new ort.Tensor('int64', BigInt64Array.from(values, BigInt), dims);

/** Writes a model's ONNX files and loads them as users do, from disk. */
async function load(model: MemoryModel, options: Partial<OnnxFileOptions> = {}): Promise<Session> {
  const { files } = await makeOnnxFiles(model as unknown as Model, { dtype: 'fp32', ...options });
  const path = folder();
  for (const { name, lengthBytes, chunks } of files) {
    const parts: Uint8Array[] = [];
    for await (const chunk of chunks()) parts.push(chunk);
    const bytes = Buffer.concat(parts);
    expect(bytes.length, name).toBe(lengthBytes);
    mkdirSync(dirname(join(path, name)), { recursive: true });
    writeFileSync(join(path, name), bytes);
  }
  return ort.InferenceSession.create(join(path, files[0]!.name), { logSeverityLevel: 3 });
}

/** What transformers.js feeds: tokens with `padding` zeros before or behind, and positions that do not count padding. */
function feedsOf(session: Session, tokens: readonly number[], before = 0, behind = 0): Feeds {
  const length = before + tokens.length + behind;
  const zeros = (count: number) => new Array(count).fill(0);
  const all: Feeds = {
    input_ids: int64([...zeros(before), ...tokens, ...zeros(behind)], [1, length]),
    attention_mask: int64([...zeros(before), ...tokens.map(() => 1), ...zeros(behind)], [1, length]),
    position_ids: int64([...new Array(before).fill(1), ...tokens.keys()], [1, length - behind]),
    token_type_ids: int64(zeros(length), [1, length]),
    num_logits_to_keep: int64([0], []),
  };
  for (const input of session.inputMetadata)
    if (input.isTensor && input.name.startsWith('past')) {
      const dims = input.shape.map((size) =>
        size === 'batch_size' ? 1 : typeof size === 'string' ? 0 : size,
      );
      all[input.name] = new ort.Tensor('float32', new Float32Array(dims.reduce((a, b) => a * b, 1)), dims);
    }
  return Object.fromEntries(session.inputNames.map((name) => [name, all[name]!]));
}

describe('logits of the reference implementation', () => {
  it.each(RUNNABLE.filter((name) => name !== 'llama_dynamic'))('%s', async (name) => {
    const { inputs, logits } = expectedOf(name, FAMILIES);
    const session = await load(await MemoryModel.of(join(FAMILIES, name)));
    const isCausal = session.inputNames.includes('num_logits_to_keep');
    const vocabulary = logits.length / inputs.flat().length;
    let at = 0;
    for (const tokens of inputs) {
      const expected = logits.subarray(at, at + tokens.length * vocabulary);
      at += expected.length;
      const whole = await session.run(feedsOf(session, tokens));
      const difference = largestDifference(whole.logits!.data as Float32Array, expected);
      expect(difference, 'whole').toBeLessThan(1e-3);
      const [before, behind] = isCausal ? [3, 0] : [0, 3];
      const padded = await session.run(feedsOf(session, tokens, before, behind));
      const rows = (padded.logits!.data as Float32Array).subarray(before * vocabulary);
      const own = rows.subarray(0, expected.length);
      expect(largestDifference(own, expected), 'padded').toBeLessThan(1e-3);
      if (isCausal) await stepByStep(session, tokens, expected, vocabulary);
    }
    await session.release();
  });
});

/** Reads half of the tokens, then one at a time with the cache. */
async function stepByStep(
  session: Session,
  tokens: readonly number[],
  expected: Float32Array,
  vocabulary: number,
): Promise<void> {
  let cache: Feeds = {};
  const half = Math.floor(tokens.length / 2);
  for (let end = half, start = 0; end <= tokens.length; start = end, end++) {
    const feeds: Feeds = {
      ...feedsOf(session, tokens.slice(start, end)),
      ...cache,
      attention_mask: int64(new Array(end).fill(1), [1, end]),
      num_logits_to_keep: int64([1], []),
    };
    if (feeds.position_ids)
      feeds.position_ids = int64(
        Array.from({ length: end - start }, (_, i) => start + i),
        [1, end - start],
      );
    const { logits, ...present } = await session.run(feeds);
    const last = expected.subarray((end - 1) * vocabulary, end * vocabulary);
    expect(largestDifference(logits!.data as Float32Array, last), `token ${end}`).toBeLessThan(1e-3);
    cache = Object.fromEntries(
      Object.entries(present).map(([name, value]) => [
        name.replace('present_conv', 'past_conv').replace('present.', 'past_key_values.'),
        value as Feeds[string],
      ]),
    );
  }
}

it('rotary frequencies that change with the length are refused', async () => {
  const memory = await MemoryModel.of(join(FAMILIES, 'llama_dynamic'));
  expect(await refusalOf(() => load(memory))).toMatch(/dynamic change with the length/);
});

/** Logits of the first input of a fixture, or of tokens. */
async function logitsIn(session: Session, tokens: readonly number[]): Promise<Float32Array> {
  const { logits } = await session.run(feedsOf(session, tokens));
  return logits!.data as Float32Array;
}

it('a weight that float16 does not have is refused, by name', async () => {
  const memory = await MemoryModel.of(join(FAMILIES, 'gpt2'));
  memory.floats([...memory.byName.keys()].find((name) => name.endsWith('ln_f.weight'))!)[3] = 7e4;
  const refusal = await refusalOf(() => load(memory, { dtype: 'fp16' }));
  expect(refusal).toMatch(/ln_f.weight.*70000 is out of range for F16; fp32/);
});

it('external data begins a new file where one would be too large', async () => {
  const memory = await MemoryModel.of(join(FAMILIES, 'qwen3'));
  const { inputs, logits } = expectedOf('qwen3', FAMILIES);
  const whole = await makeOnnxFiles(memory as unknown as Model, { dtype: 'fp32' });
  const most = Math.ceil(whole.files[1]!.lengthBytes / 3);
  const { files } = await makeOnnxFiles(memory as unknown as Model, { dtype: 'fp32', maxDataBytes: most });
  const data = files.slice(1);
  expect(data.length).toBeGreaterThan(2);
  expect(data.map(({ name }) => name.replace('onnx/model.onnx_data', ''))).toEqual(
    data.map((_, i) => (i ? `_${i}` : '')),
  );
  for (const { lengthBytes } of data) expect(lengthBytes).toBeLessThanOrEqual(most);
  const session = await load(memory, { maxDataBytes: most });
  const found = await logitsIn(session, inputs[0]!);
  expect(largestDifference(found, logits.subarray(0, found.length))).toBeLessThan(1e-3);
});

describe('codes', () => {
  const TOKENS = Array.from({ length: 64 }, (_, i) => (i * 37) % 256);
  const BOUNDS = { fp16: 5e-3, q8: 0.4, q4: 1.5 } as const; // activations are 8 bits in MatMulNBits

  it.each(['fp16', 'q8', 'q4'] as const)('%s: ONNX Runtime reads them as they are meant', async (dtype) => {
    const memory = await MemoryModel.of(TINY);
    const expected = await logitsIn(await load(memory), TOKENS);
    const found = await logitsIn(await load(memory, { dtype }), TOKENS);
    const difference = largestDifference(found, expected);
    expect(difference).toBeLessThan(BOUNDS[dtype]);
    expect(difference).toBeGreaterThan(0);
  });

  const nibble = (bytes: Uint8Array, width: number, row: number, at: number) =>
    (bytes[row * Math.ceil(width / 2) + (at >> 1)]! >> ((at & 1) * 4)) & 15;

  /** Returns scale, zero point and code of each weight, as MatMulNBits reads what a matrix is rounded to: [rows, whole groups]. */
  function roundedTo(bits: 4 | 8, values: Float32Array, rows: number, columns: number) {
    const { format, pack } = ONNX_GRIDS[bits];
    const { codes, scales, zeros } = pack(roundToGrids('w', values, rows, columns, format));
    const groups = Math.ceil(columns / 32);
    return Array.from({ length: rows * groups * 32 }, (_, i) => {
      const [row, column] = [Math.floor(i / (groups * 32)), i % (groups * 32)];
      const group = column >> 5;
      const scale = fromFloat16(scales[row * groups + group]!);
      const code = bits === 8 ? codes[i]! : nibble(codes, groups * 32, row, column);
      const zero = bits === 8 ? 128 : nibble(zeros!, groups, row, group);
      return { code, zero, scale, value: (code - zero) * scale };
    });
  }

  it.each([4, 8] as const)('of %i bits are the nearest of their grids, which cover their groups', (bits) => {
    const [rows, columns] = [5, 70]; // groups of 32, 32 and 6
    const random = seededRandom(bits);
    const values = Float32Array.from({ length: rows * columns }, () => random() ** 3 - 0.3);
    const rounded = roundedTo(bits, values, rows, columns);
    for (let row = 0; row < rows; row++)
      for (let column = 0; column < 96; column++) {
        const { code, scale, value } = rounded[row * 96 + column]!;
        if (column >= columns) {
          expect(Math.abs(value)).toBe(0);
          continue;
        }
        const error = Math.abs(value - values[row * columns + column]!);
        const isCut = code === 0 || code === 2 ** bits - 1;
        expect(error).toBeLessThanOrEqual(Math.abs(scale) * (isCut ? 1.5 : 0.5001));
        expect(Math.abs(scale)).toBeLessThan(1.1 / (2 ** bits - 1 - (bits === 8 ? 128 : 0)));
      }
  });

  it('zeros, and one weight beside zeros, are exact', () => {
    for (const bits of [4, 8] as const) {
      const values = new Float32Array(64);
      values[40] = -0.5;
      const rounded = roundedTo(bits, values, 1, 64);
      expect(rounded[40]!.value).toBeCloseTo(-0.5, 3);
      for (const [i, { value, code, zero }] of rounded.entries())
        if (i !== 40) expect([value, code], `${i}`).toEqual([0, zero]);
    }
  });
});
