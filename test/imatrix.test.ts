import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { matrixOf } from '../src/codecs/codec.js';
import { elementCount } from '../src/core/dtype.js';
import type { GridCodes } from '../src/grids/format.js';
import { ONNX_GRIDS } from '../src/grids/onnx.js';
import { roundToGrids } from '../src/grids/round.js';
import { isInputError } from '../src/index.js';
import { openProgram } from '../src/inference/program.js';
import { writeGgufHeader } from '../src/models/gguf/header-writer.js';
import {
  type Imatrix,
  type ImatrixEntry,
  type ImatrixFormat,
  readImatrix,
  writeImatrix,
} from '../src/models/gguf/imatrix.js';
import { GGUF_FAMILIES } from '../src/models/gguf/names.js';
import { typeNamed } from '../src/models/gguf/types.js';
import { loadRuntime } from '../src/onnx/node/runtime.js';
import { collectStatistics } from '../src/quantization/calibration/collect.js';
import { imatrixOf, imatrixStatistics } from '../src/quantization/calibration/imatrix.js';
import { MemoryStatistics } from '../src/quantization/calibration/memory-statistics.js';
import type { Statistics } from '../src/quantization/calibration/statistics.js';
import { QuantizationJobs } from '../src/quantization/jobs.js';
import { momentsOf } from '../src/quantization/moments.js';
import { EVALUATION_TEXT, FAMILIES, fixture } from './helpers/fixtures.js';
import { asModel, randomModel, TINY_CONFIGS } from './helpers/gguf.js';
import { refusalOf } from './helpers/logits.js';
import { MemoryModel } from './helpers/memory-model.js';
import { CountingSource, seededRandom } from './helpers/safetensors.js';

const FOLDER = fixture('imatrix');
const FILES = readdirSync(FOLDER).filter((name) => !name.endsWith('.json'));
const MODELS = FILES.filter((name) => name.endsWith('.gguf')).map((name) => name.slice(0, -5));
const bytesOf = (name: string) => new Uint8Array(readFileSync(join(FOLDER, name)));
const sourceOf = (bytes: Uint8Array, name = 'file') => new CountingSource(name, bytes);
const opened = (name: string) => readImatrix(sourceOf(bytesOf(name), name));
const runtime = await loadRuntime();

interface Described {
  readonly chunkCount: number;
  readonly chunkSize: number;
  readonly datasets: readonly string[];
  readonly entries: Record<string, { size: number; counts: number[]; means: number[] }>;
}
const EXPECTED: Record<string, Described> = JSON.parse(readFileSync(join(FOLDER, 'expected.json'), 'utf8'));

async function written(imatrix: Imatrix, format: ImatrixFormat): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  for await (const piece of writeImatrix(imatrix, format)) pieces.push(piece);
  return new Uint8Array(Buffer.concat(pieces));
}

/** Reads everything that is in a file. */
async function everythingIn(source: CountingSource) {
  const imatrix = await readImatrix(source);
  const entries: Record<string, { sums: number[]; counts: readonly number[] }> = {};
  for (const [name, entry] of imatrix.entries) {
    const { sums, counts } = await entry.read();
    entries[name] = { sums: [...sums], counts };
  }
  return { ...imatrix, entries };
}

/** Mean squares of the inputs, as llama-quantize computes them. */
async function meansOf(entry: ImatrixEntry): Promise<number[]> {
  const { sums, counts } = await entry.read();
  return [...sums].map((sum, i) => sum / counts[Math.floor((i * counts.length) / sums.length)]!);
}

describe('files of llama-imatrix', () => {
  it.each(FILES)('%s is read as by the gguf package, and written to the same bytes', async (name) => {
    const imatrix = await opened(name);
    const { entries, ...expected } = EXPECTED[name]!;
    const { chunkCount, chunkSize, datasets } = expected;
    expect(imatrix).toMatchObject({ chunkCount, chunkSize, datasets });
    expect([...imatrix.entries.keys()].sort()).toEqual(Object.keys(entries));
    for (const [tensor, { size, counts, means }] of Object.entries(entries)) {
      const entry = imatrix.entries.get(tensor)!;
      expect([entry.size, entry.counts]).toEqual([size, counts.length]);
      expect((await entry.read()).counts).toEqual(counts);
      const all = await meansOf(entry);
      for (const [i, mean] of means.entries()) expect(all[i * Math.floor(size / 4)]).toBeCloseTo(mean, 5);
    }
    const format = name.endsWith('.dat') ? 'dat' : 'gguf';
    expect(Buffer.compare(await written(imatrix, format), bytesOf(name))).toBe(0);
  });

  it.each(['gpt2', 'mixtral'])('%s says the same in both formats, and converted', async (name) => {
    const [gguf, dat] = [await opened(`${name}.gguf`), await opened(`${name}.dat`)];
    const converted = await readImatrix(sourceOf(await written(gguf, 'dat')));
    expect(converted).toMatchObject({ chunkCount: 3, chunkSize: 0, datasets: ['text.txt'] });
    expect([...converted.entries.keys()].sort()).toEqual([...dat.entries.keys()].sort());
    for (const [tensor, entry] of dat.entries) {
      const expected = await meansOf(entry);
      for (const other of [gguf, converted]) {
        const means = await meansOf(other.entries.get(tensor)!);
        for (const [i, mean] of means.entries()) expect(mean / expected[i]!).toBeCloseTo(1, 5);
      }
    }
    expect((await converted.entries.get('blk.0.attn_output.weight')!.read()).counts).toEqual([3]);
  });
});

const entryOf = (sums: readonly number[], counts: readonly number[]): ImatrixEntry => ({
  size: sums.length,
  counts: counts.length,
  read: async () => ({ sums: Float32Array.from(sums), counts }),
});

const imatrixWith = (entries: Record<string, ImatrixEntry>): Imatrix => ({
  entries: new Map(Object.entries(entries)),
  chunkCount: 2,
  chunkSize: 16,
  datasets: ['a text'],
});

/** Any importance matrix of a few entries. */
const anyImatrix = fc
  .record({
    entries: fc.dictionary(
      fc.stringMatching(/^[a-zé.]{1,20}$/),
      fc
        .record({
          counts: fc.array(fc.nat(4096), { minLength: 1, maxLength: 4 }),
          inputs: fc.integer({ min: 1, max: 9 }),
        })
        .chain(({ counts, inputs }) =>
          fc
            .array(fc.float({ min: 0, max: Math.fround(1e30), noNaN: true }), {
              minLength: counts.length * inputs,
              maxLength: counts.length * inputs,
            })
            .map((sums) => ({ sums, counts })),
        ),
      { minKeys: 1, maxKeys: 5 },
    ),
    chunkCount: fc.nat(2 ** 31 - 1),
    chunkSize: fc.integer({ min: 1, max: 4096 }),
    datasets: fc.array(fc.string(), { maxLength: 3 }),
  })
  .map(({ entries, ...rest }) => ({
    ...rest,
    given: entries,
    entries: new Map(
      Object.entries(entries).map(([name, { sums, counts }]) => [name, entryOf(sums, counts)]),
    ),
  }));

const SEED = 20260;

describe('what is written', () => {
  it('is read again from GGUF, whatever it is', async () => {
    const property = fc.asyncProperty(anyImatrix, async ({ given, ...imatrix }) => {
      const { entries, ...rest } = await everythingIn(sourceOf(await written(imatrix, 'gguf')));
      const { entries: _, ...expected } = imatrix;
      expect(rest).toEqual(expected);
      expect(entries).toEqual({ ...given });
    });
    await fc.assert(property, { seed: SEED, numRuns: 60 });
  });

  it('is read again from .dat as the same means, and 1 where nothing is known', async () => {
    const property = fc.asyncProperty(anyImatrix, async ({ given, ...imatrix }) => {
      const { entries, ...rest } = await everythingIn(sourceOf(await written(imatrix, 'dat')));
      const last = imatrix.datasets.at(-1);
      expect(rest).toEqual({ chunkCount: imatrix.chunkCount, chunkSize: 0, datasets: last ? [last] : [] });
      for (const [name, { sums, counts }] of Object.entries(given)) {
        const chunks = Math.max(1, Math.ceil(Math.max(...counts) / imatrix.chunkSize));
        expect(entries[name]!.counts).toEqual([chunks]);
        for (const [i, sum] of entries[name]!.sums.entries()) {
          const count = counts[Math.floor((i * counts.length) / sums.length)]!;
          const mean = count ? sums[i]! / count : 1;
          expect(Math.abs(sum / chunks - mean)).toBeLessThanOrEqual(1e-6 * mean + 1e-44);
        }
      }
    });
    await fc.assert(property, { seed: SEED, numRuns: 60 });
  });

  it('has the fields that llama-quantize asks for, in its order', async () => {
    const bytes = await written(
      imatrixWith({ 'b.weight': entryOf([1, 2, 3, 4], [5, 6]), 'a.weight': entryOf([7], [8]) }),
      'dat',
    );
    const view = new DataView(bytes.buffer);
    const name = (at: number, length: number) => Buffer.from(bytes.subarray(at, at + length)).toString();
    expect([view.getInt32(0, true), view.getInt32(4, true), name(8, 8)]).toEqual([2, 8, 'a.weight']);
    // chunks, values, value times chunks
    expect([16, 20].map((at) => view.getInt32(at, true))).toEqual([1, 1]);
    expect(view.getFloat32(24, true)).toBe(0.875);
    expect([28, 40, 44].map((at) => view.getInt32(at, true))).toEqual([8, 1, 4]);
    expect([48, 52, 56, 60].map((at) => view.getFloat32(at, true))).toEqual(
      [1 / 5, 2 / 5, 3 / 6, 4 / 6].map(Math.fround),
    );
    expect([64, 68].map((at) => view.getInt32(at, true))).toEqual([2, 6]);
    expect(name(72, 6)).toBe('a text');
    expect(bytes.length).toBe(78);
  });
});

/** The message that a file is refused with, once all of it is read. */
const refusedAs = (bytes: Uint8Array) => refusalOf(() => everythingIn(sourceOf(bytes)));

/** A GGUF file of tensors of F32. */
function ggufOf(tensors: Record<string, number[]>, changes: Record<string, unknown> = {}): Uint8Array {
  const metadata = {
    'general.type': 'imatrix',
    'imatrix.datasets': ['x'],
    'imatrix.chunk_count': 1,
    'imatrix.chunk_size': 4,
    ...changes,
  };
  const entries = Object.entries(metadata).flatMap(([key, value]) =>
    value === undefined
      ? []
      : [
          {
            key,
            type: typeof value === 'number' ? ('int32' as const) : ('string' as const),
            value: value as string,
          },
        ],
  );
  const named = Object.entries(tensors);
  const infos = named.map(([name, values]) => ({
    name,
    type: typeNamed('F32'),
    shape: [values.length],
    lengthBytes: values.length * 4,
  }));
  const data = named.map(([, values]) => {
    const padded = new Uint8Array(Math.ceil(values.length / 8) * 32);
    padded.set(new Uint8Array(Float32Array.from(values).buffer));
    return padded;
  });
  return new Uint8Array(Buffer.concat([writeGgufHeader(entries, infos), ...data]));
}

/** A .dat of int32s, floats and strings. */
const datOf = (...parts: (number | string | Float32Array)[]) =>
  new Uint8Array(
    Buffer.concat(
      parts.map((part) =>
        typeof part === 'string'
          ? Buffer.from(part)
          : part instanceof Float32Array
            ? Buffer.from(part.buffer)
            : Buffer.from(Int32Array.of(part).buffer),
      ),
    ),
  );

describe('what is damaged', () => {
  it.each(['gpt2.gguf', 'gpt2.dat'])('%s, truncated anywhere, is refused in one line', async (name) => {
    const bytes = bytesOf(name);
    const accepted = [];
    for (let length = 0; length < bytes.length; length += length < 700 ? 1 : 37) {
      const message = await refusalOf(() => everythingIn(sourceOf(bytes.slice(0, length)))).catch(
        () => undefined,
      );
      if (message === undefined) accepted.push(bytes.length - length);
      else expect(message).toMatch(/^file(, |: )[^\n]+$/);
    }
    // the last number is followed by 28 bytes of nothing in GGUF
    expect(accepted.filter((missing) => missing > (name.endsWith('.gguf') ? 28 : 0))).toEqual([]);
  });

  it('an older file may end after its entries, as those of the first versions do', async () => {
    const bytes = bytesOf('gpt2.dat');
    const whole = await everythingIn(sourceOf(bytes));
    const shorter = await everythingIn(sourceOf(bytes.slice(0, -16)));
    expect(shorter).toEqual({ ...whole, chunkCount: 0, datasets: [] });
  });

  it('with another byte anywhere, is read or refused in the same way', async () => {
    const random = seededRandom(5);
    for (const name of ['gpt2.gguf', 'gpt2.dat'])
      for (let i = 0; i < 300; i++) {
        const bytes = bytesOf(name);
        const at = Math.floor(random() * (i % 2 ? 600 : bytes.length));
        bytes[at] = Math.floor(random() * 256);
        await everythingIn(sourceOf(bytes)).catch((error: Error) => {
          if (!isInputError(error)) throw error;
        });
      }
  });

  it.each<[string, Uint8Array, RegExp]>([
    [
      'sums alone',
      ggufOf({ 'a.in_sum2': [1] }),
      /^file, tensor "a": expected sums and counts, found only sums$/,
    ],
    ['counts alone', ggufOf({ 'a.counts': [1] }), /tensor "a": expected sums and counts, found only counts$/],
    ['nothing', ggufOf({}), /^file: has no entries$/],
    ['other tensors', ggufOf({ 'a.weight': [1] }), /^file: has no entries$/],
    [
      'counts that do not divide',
      ggufOf({ 'a.in_sum2': [1, 2, 3], 'a.counts': [1, 1] }),
      /tensor "a": expected sums for each count, found 3 for 2$/,
    ],
    ['no counts', ggufOf({ 'a.in_sum2': [1], 'a.counts': [] }), /found 1 for 0$/],
    ['no sums', ggufOf({ 'a.in_sum2': [], 'a.counts': [1] }), /found 0 for 1$/],
    [
      'a negative sum',
      ggufOf({ 'a.in_sum2': [1, -1], 'a.counts': [1] }),
      /tensor "a", bytes \d+-\d+: expected a finite sum of squares or a count, found -1$/,
    ],
    ['an infinite sum', ggufOf({ 'a.in_sum2': [Infinity], 'a.counts': [1] }), /found Infinity$/],
    ['a sum that is no number', ggufOf({ 'a.in_sum2': [NaN], 'a.counts': [1] }), /found NaN$/],
    ['a negative count', ggufOf({ 'a.in_sum2': [1], 'a.counts': [-1] }), /found -1$/],
    ['a count that is no number', ggufOf({ 'a.in_sum2': [1], 'a.counts': [NaN] }), /found NaN$/],
    [
      'a model',
      ggufOf({ 'a.weight': [1] }, { 'general.type': undefined }),
      /^file: not an importance matrix: general.type is "model"$/,
    ],
    [
      'no chunks',
      ggufOf({ 'a.in_sum2': [1], 'a.counts': [1] }, { 'imatrix.chunk_count': undefined }),
      /^file: imatrix.chunk_count: expected a count, found nothing$/,
    ],
    [
      'chunks below none',
      ggufOf({ 'a.in_sum2': [1], 'a.counts': [1] }, { 'imatrix.chunk_size': -4 }),
      /^file: imatrix.chunk_size: expected a count, found -4$/,
    ],
    [
      'a dataset that is no list',
      ggufOf({ 'a.in_sum2': [1], 'a.counts': [1] }, { 'imatrix.datasets': 'x' }),
      /^file: imatrix.datasets: expected strings, found "x"$/,
    ],
    ['a pointer', datOf('version https://git-lfs.github.com/spec/v1\n'), /git-lfs pointer/],
    ['a text', datOf('some text of a few words'), /not an importance matrix: expected 1 to 65536 entries/],
    ['no entries', datOf(0), /expected 1 to 65536 entries, found 0$/],
    ['fewer than no entries', datOf(-1), /expected 1 to 65536 entries, found -1$/],
    ['a long name', datOf(1, 2 ** 30, 'a'), /expected a string of at most 1024 bytes, found 1073741824$/],
    ['a name below nothing', datOf(1, -1, 'a'), /expected a string of at most 1024 bytes, found -1$/],
    ['no name', datOf(1, 0, 1, 1, Float32Array.of(1)), /entry without a name$/],
    ['many values', datOf(1, 1, 'a', 1, 2 ** 31 - 1), /expected 8589934588 more bytes, found 0$/],
    ['fewer than no values', datOf(1, 1, 'a', 1, -1), /a: expected values, found -1 of 1 chunks$/],
    ['fewer than no chunks', datOf(1, 1, 'a', -1, 1, Float32Array.of(1)), /found 1 of -1 chunks$/],
    [
      'an entry twice',
      datOf(2, 1, 'a', 1, 1, Float32Array.of(1), 1, 'a', 1, 1, Float32Array.of(1)),
      /duplicate entry "a"$/,
    ],
    ['NaN in .dat', datOf(1, 1, 'a', 1, 1, Float32Array.of(NaN)), /tensor "a", bytes 17-21: .*found NaN$/],
    [
      'more after the end',
      datOf(1, 1, 'a', 1, 1, Float32Array.of(1), 1, 1, 'x', 7),
      /expected the end of the file, found 4 more bytes$/,
    ],
  ])('%s', async (_, bytes, message) => {
    expect(await refusedAs(bytes)).toMatch(message);
  });

  it('no number of chunks, as in files of the first versions, is one', async () => {
    const { entries } = await everythingIn(sourceOf(datOf(1, 1, 'a', 0, 2, Float32Array.of(3, 4))));
    expect(entries).toEqual({ a: { sums: [3, 4], counts: [1] } });
  });

  it('only the structure is read when it is opened', async () => {
    const bytes = datOf(1, 1, 'a', 1, 2 ** 20, new Float32Array(2 ** 20).fill(1));
    const source = sourceOf(bytes);
    await readImatrix(source);
    expect(source.bytesRead).toBeLessThan(2 ** 19);
  });
});

/** Settings that llama.cpp does not have, as in scripts/fixtures/imatrix.py. */
const CHANGES: Record<string, object> = {
  gpt_oss: { rope_parameters: { rope_type: 'default', rope_theta: 300 } },
  deepseek_v2: { topk_method: 'greedy', n_group: 1, topk_group: 1, rms_norm_eps: 1e-6 },
};

async function modelOf(memory: MemoryModel) {
  const model = asModel(memory);
  const gguf = GGUF_FAMILIES.find(({ modelTypes }) =>
    modelTypes.includes(memory.config.model_type as string),
  )!;
  const { plan } = await openProgram(model);
  return { model, gguf, plan };
}

async function family(name: string) {
  const memory = await MemoryModel.of(join(FAMILIES, name));
  Object.assign(memory.config, CHANGES[name]);
  return modelOf(memory);
}

const shapeIn = ({ model }: Awaited<ReturnType<typeof family>>, name: string) =>
  model.tensors.find((tensor) => tensor.name === name)!.shape;

async function statisticsOf(name: string, file = `${name}.gguf`) {
  const opening = await family(name);
  return {
    ...opening,
    statistics: await imatrixStatistics(await opened(file), opening.model, opening.gguf, opening.plan),
  };
}

const close = (values: ArrayLike<number>, expected: ArrayLike<number>, digits = 4) => {
  expect(values.length).toBe(expected.length);
  for (let i = 0; i < values.length; i++) expect(values[i]! / expected[i]!).toBeCloseTo(1, digits);
};

async function rowsIn(file: string, tensor: string): Promise<(row: number, rows: number) => number[]> {
  const means = await meansOf((await opened(file)).entries.get(tensor)!);
  return (row, rows) => means.slice((row * means.length) / rows, ((row + 1) * means.length) / rows);
}

describe('an importance matrix as statistics', () => {
  it('columns of a linear layer, and the same weight for rows', async () => {
    const opening = await statisticsOf('llama_bias');
    const name = 'model.layers.1.mlp.down_proj.weight';
    const row = await rowsIn('llama_bias.gguf', 'blk.1.ffn_down.weight');
    const [moments, ...others] = await opening.statistics.tensor(name);
    expect(others).toEqual([]);
    expect(moments).toMatchObject({ kind: 'linear', transposed: false });
    close(moments!.inputs, row(0, 1));
    expect([...moments!.outputs]).toEqual(Array(32).fill(1));
    const matrix = matrixOf(shapeIn(opening, name));
    const { rows, columns } = await momentsOf(opening.statistics, name, new Float32Array(32 * 64), matrix);
    expect(columns.values.length).toBe(matrix.columns);
    close(columns.values, row(0, 1));
    expect(new Set(rows.values)).toEqual(new Set([1]));
    expect(opening.statistics.tokens).toBe(96);
  });

  it('rows of what GPT-2 stores transposed', async () => {
    const opening = await statisticsOf('gpt2');
    for (const [name, tensor, size] of [
      ['transformer.h.2.attn.c_attn.weight', 'blk.2.attn_qkv.weight', 32],
      ['transformer.h.2.mlp.c_proj.weight', 'blk.2.ffn_down.weight', 80],
    ] as const) {
      const row = await rowsIn('gpt2.gguf', tensor);
      const [moments] = await opening.statistics.tensor(name);
      expect(moments).toMatchObject({ kind: 'linear', transposed: true });
      const matrix = matrixOf(shapeIn(opening, name));
      expect(matrix.rows).toBe(size);
      const weights = new Float32Array(matrix.rows * matrix.columns);
      const { rows, columns } = await momentsOf(opening.statistics, name, weights, matrix);
      close(rows.values, row(0, 1));
      expect([...columns.values]).toEqual(Array(matrix.columns).fill(1));
    }
  });

  it('of experts in tensors of their own, each its own', async () => {
    const { statistics } = await statisticsOf('mixtral');
    const row = await rowsIn('mixtral.gguf', 'blk.1.ffn_down_exps.weight');
    for (let expert = 0; expert < 4; expert++) {
      const found = await statistics.tensor(`model.layers.1.block_sparse_moe.experts.${expert}.w2.weight`);
      expect(found.length).toBe(1);
      close(found[0]!.inputs, row(expert, 4));
    }
  });

  it('of experts by columns, each its rows', async () => {
    const opening = await statisticsOf('gpt_oss');
    for (const [name, tensor] of [
      ['model.layers.1.mlp.experts.down_proj', 'blk.1.ffn_down_exps.weight'],
      ['model.layers.1.mlp.experts.gate_up_proj', 'blk.1.ffn_up_exps.weight'],
    ] as const) {
      const row = await rowsIn('gpt_oss.gguf', tensor);
      const [moments] = await opening.statistics.tensor(name);
      expect(moments!.kind).toBe('experts');
      close(
        moments!.outputs,
        [0, 1, 2, 3].flatMap((expert) => row(expert, 4)),
      );
      expect(new Set(moments!.inputs)).toEqual(new Set([1]));
      expect(moments!.inputs.length).toBe(shapeIn(opening, name)[2]);
    }
  });

  it('latent keys and values, whose product is cut into heads', async () => {
    const { statistics, plan } = await statisticsOf('deepseek_v2');
    const [moments] = await statistics.tensor('model.layers.1.self_attn.kv_b_proj.weight');
    const [keys, values] = [
      await rowsIn('deepseek_v2.gguf', 'blk.1.attn_k_b.weight'),
      await rowsIn('deepseek_v2.gguf', 'blk.1.attn_v_b.weight'),
    ];
    const mean = keys(0, 1).reduce((sum, value) => sum + value, 0) / 32;
    const valueSize = moments!.outputs.length / 4 - 8;
    expect(plan.layers.length).toBe(3);
    const ones = Array(valueSize).fill(1);
    close(
      moments!.outputs,
      [0, 1, 2, 3].flatMap((head) => [...keys(head, 4).map((key) => key / mean), ...ones]),
    );
    const heads = [0, 1, 2, 3].map((head) => values(head, 4));
    close(
      moments!.inputs,
      heads[0]!.map((_, i) => heads.reduce((sum, head) => sum + head[i]! / 4, 0)),
    );
  });

  it('the older format gives the same, but the mean over experts in one tensor', async () => {
    for (const name of ['gpt2', 'mixtral']) {
      const [gguf, dat] = [await statisticsOf(name), await statisticsOf(name, `${name}.dat`)];
      expect(dat.statistics.tokens).toBe(0);
      for (const tensor of gguf.model.tensors) {
        const [[a], [b]] = [
          await gguf.statistics.tensor(tensor.name),
          await dat.statistics.tensor(tensor.name),
        ];
        expect(a === undefined).toBe(b === undefined);
        if (a) close(b!.inputs, a.inputs);
      }
    }
  });

  it.each(MODELS)('%s: of every matrix that llama.cpp multiplies with', async (name) => {
    const { statistics, model } = await statisticsOf(name);
    const without = [];
    for (const { name: tensor, shape } of model.tensors)
      if (shape.length > 1 && !(await statistics.tensor(tensor)).length) without.push(tensor);
    const isLookedUp = (tensor: string) => /embed_tokens|wte|wpe/.test(tensor);
    expect(without.filter((tensor) => !isLookedUp(tensor) && !tensor.endsWith('_bias'))).toEqual([]);
    expect(without.some(isLookedUp)).toBe(true);
  });

  it('experts without tokens have the mean of the others; none at all is no statistics', async () => {
    const { model, gguf, plan } = await family('mixtral');
    const sums = Array.from({ length: 128 }, (_, i) => (i < 32 ? 0 : Math.floor(i / 32) * 10));
    const imatrix = imatrixWith({
      'blk.0.ffn_up_exps.weight': entryOf(sums, [0, 10, 5, 5]),
      'blk.0.ffn_gate_exps.weight': entryOf(Array(128).fill(0), [0, 0, 0, 0]),
      'blk.0.attn_q.weight': entryOf(Array(32).fill(0), [0]),
    });
    const statistics = await imatrixStatistics(imatrix, model, gguf, plan);
    const found = new Map<string, number>();
    for (const { name } of model.tensors)
      for (const { inputs } of await statistics.tensor(name)) found.set(name, inputs[0]!);
    // 10 tokens with 1, 5 with 4 and 5 with 6
    expect([...found.values()]).toEqual([3, 1, 4, 6]);
    expect([...found.keys()].every((name) => name.includes('layers.0'))).toBe(true);
  });

  it('of another model is refused', async () => {
    const { model, gguf, plan } = await family('mixtral');
    const given = async (entries: Record<string, ImatrixEntry>) =>
      refusalOf(() => imatrixStatistics(imatrixWith(entries), model, gguf, plan));
    expect(await given({ 'blk.0.attn_q.weight': entryOf(Array(33).fill(1), [1]) })).toBe(
      'tensor "blk.0.attn_q.weight": the importance matrix is of another model: expected 32 numbers for 1 matrices, found 33 for 1',
    );
    expect(await given({ 'blk.0.ffn_up_exps.weight': entryOf(Array(128).fill(1), [1, 1]) })).toMatch(
      /expected 128 numbers for 4 matrices, found 128 for 2$/,
    );
    expect(await given({ 'blk.9.attn_q.weight': entryOf([1], [1]) })).toBe(
      'model: the importance matrix has no tensor of this model, but ["blk.9.attn_q.weight"]',
    );
    // as llama-quantize does
    const both = {
      'token_embd.weight': entryOf([1], [1]),
      'blk.0.attn_q.weight': entryOf(Array(32).fill(1), [1]),
    };
    const statistics = await imatrixStatistics(imatrixWith(both), model, gguf, plan);
    expect(await statistics.tensor('model.embed_tokens.weight')).toEqual([]);
  });

  it('damaged numbers are refused before any is used', async () => {
    const bytes = bytesOf('mixtral.gguf');
    bytes.set(new Uint8Array(Float32Array.of(NaN).buffer), bytes.length - 64 - 32);
    const { model, gguf, plan } = await family('mixtral');
    const imatrix = await readImatrix(sourceOf(bytes));
    expect(await refusalOf(() => imatrixStatistics(imatrix, model, gguf, plan))).toMatch(/found NaN$/);
  });

  it('codes cost what those of the diagonal matrix do, which are chosen twice', async () => {
    const random = seededRandom(11);
    const [rows, columns] = [32, 64];
    const draw = (count: number) => Float32Array.from({ length: count }, () => random() + 0.1);
    const weights = draw(rows * columns).map((value) => value - 0.6);
    const diagonal = draw(columns);
    const jobs = new QuantizationJobs(runtime);
    const { format } = ONNX_GRIDS[4];
    const costOf = ({ codes, scales, scaleUnits, minimums }: GridCodes) => {
      let cost = 0;
      for (const [i, weight] of weights.entries()) {
        const group = i >> 5; // columns are whole groups
        const value = (codes[i]! - minimums[group]!) * scales[group]! * scaleUnits[group]!;
        cost += diagonal[i % columns]! * (value - weight) ** 2;
      }
      return cost;
    };
    const costWith = async (inputs: Float32Array) => {
      const outputs = new Float32Array(rows).fill(1);
      const statistics = new MemoryStatistics(1);
      await statistics.add('w', { kind: 'linear', inputs, outputs, transposed: false });
      const moments = await momentsOf(statistics, 'w', weights, { rows, columns, stack: 1 });
      const job = {
        name: 'w',
        rows,
        columns,
        weights,
        rowMoments: moments.rows,
        columnMoments: moments.columns,
      };
      return costOf(await jobs.quantizeToGrids({ ...job, format }));
    };
    const matrix = new Float32Array(columns * columns);
    for (const [i, value] of diagonal.entries()) matrix[i * columns + i] = value;
    const [own, twice] = [await costWith(diagonal), await costWith(matrix)];
    expect(twice).toBeLessThanOrEqual(own);
    expect(twice).toBeGreaterThan(0.97 * own);
    expect(own).toBeLessThan(0.99 * costOf(roundToGrids('w', weights, rows, columns, format)));
  });
});

/** The windows of tokens that llama-imatrix took. */
function windowsOf(): number[][] {
  const text = readFileSync(EVALUATION_TEXT, 'latin1')
    .replace(/[^\n -~]/g, '')
    .slice(0, 192)
    .replaceAll('~', '');
  const tokens = [...text].map((letter) =>
    letter === '\n' ? 1 : letter === ' ' ? 2 : letter.charCodeAt(0) - 0x21 + 3,
  );
  return [0, 1, 2].map((chunk) => tokens.slice(chunk * 32, chunk * 32 + 32));
}

async function collected(
  opening: Awaited<ReturnType<typeof family>>,
  windows = windowsOf(),
): Promise<Statistics> {
  const statistics = new MemoryStatistics(96);
  await collectStatistics(runtime, opening.model, windows, statistics, {});
  return statistics;
}

const diagonalOf = (matrix: Float32Array) => {
  const n = Math.sqrt(matrix.length);
  return Float32Array.from({ length: n }, (_, i) => matrix[i * n + i]!);
};

const OPTIONS = { chunkSize: 32, dataset: 'text.txt' };

describe('statistics as an importance matrix', () => {
  it.each(MODELS)('%s has the entries of llama-imatrix, and the token embedding', async (name) => {
    const opening = await family(name);
    const statistics = await collected(opening);
    const imatrix = await imatrixOf(statistics, opening.model, opening.gguf, opening.plan, OPTIONS);
    const theirs = await opened(`${name}.gguf`);
    const described = ({ entries }: Imatrix) =>
      Object.fromEntries([...entries].map(([tensor, { size, counts }]) => [tensor, { size, counts }]));
    const embedding = { 'token_embd.weight': { size: 32, counts: 1 } };
    expect(described(imatrix)).toEqual({ ...described(theirs), ...embedding });
    expect(imatrix).toMatchObject({ chunkCount: 3, chunkSize: 32, datasets: ['text.txt'] });
    for (const [, entry] of imatrix.entries) {
      const { sums, counts } = await entry.read();
      expect(sums.every((sum) => sum >= 0 && Number.isFinite(sum))).toBe(true);
      expect(new Set(counts)).toEqual(new Set([96]));
    }
    // of a head tokens count alike, so both programs must find the same
    const head = imatrix.entries.get('output.weight');
    if (head) close(await meansOf(head), await meansOf(theirs.entries.get('output.weight')!), 2);

    const again = await imatrixStatistics(imatrix, opening.model, opening.gguf, opening.plan);
    for (const { name: tensor, shape } of opening.model.tensors) {
      const [[before], [after]] = [await statistics.tensor(tensor), await again.tensor(tensor)];
      if (!after || after.kind === 'experts' || tensor.includes('kv_b_proj') || opening.plan.head.tied)
        continue;
      expect([after.kind, after.transposed]).toEqual([before!.kind, before!.transposed]);
      expect(elementCount(shape)).toBe(after.inputs.length * after.outputs.length);
      close(after.inputs, diagonalOf(before!.inputs));
    }
  });

  it('the same row for experts that have one moment, and rows of those stored by columns', async () => {
    const opening = await family('gpt_oss');
    const statistics = await collected(opening);
    const { entries } = await imatrixOf(statistics, opening.model, opening.gguf, opening.plan, OPTIONS);
    const [moments] = await statistics.tensor('model.layers.1.mlp.experts.down_proj');
    const means = await meansOf(entries.get('blk.1.ffn_down_exps.weight')!);
    close(means, moments!.outputs);

    const stacked = await modelOf(randomModel(STACKED));
    const found = await collected(stacked);
    const imatrix = await imatrixOf(found, stacked.model, stacked.gguf, stacked.plan, OPTIONS);
    const entry = imatrix.entries.get('blk.0.ffn_gate_exps.weight')!;
    expect([entry.size, entry.counts]).toEqual([2 * 64, 2]);
    const name = stacked.model.tensors.find(({ shape }) => shape.length === 3 && shape[2] === 64)!.name;
    const row = diagonalOf((await found.tensor(name))[0]!.inputs);
    close(await meansOf(entry), [...row, ...row]);
    // and back: a stack whose columns are 64 is seen as its matrices
    const again = await imatrixStatistics(imatrix, stacked.model, stacked.gguf, stacked.plan);
    const matrix = matrixOf(shapeIn(stacked, name));
    const { columns, rows } = await momentsOf(again, name, new Float32Array(matrix.rows * 64), matrix);
    close(columns.values, row);
    expect([...rows.values]).toEqual(Array(matrix.rows).fill(1));
  });

  it('latent keys by rows of their head, values by columns', async () => {
    const opening = await family('deepseek_v2');
    const statistics = await collected(opening);
    const { entries } = await imatrixOf(statistics, opening.model, opening.gguf, opening.plan, OPTIONS);
    const [moments] = await statistics.tensor('model.layers.1.self_attn.kv_b_proj.weight');
    const [inputs, outputs] = [diagonalOf(moments!.inputs), diagonalOf(moments!.outputs)];
    const each = outputs.length / 4;
    const keys = [0, 1, 2, 3].flatMap((head) => [...outputs.subarray(head * each, head * each + 8)]);
    close(await meansOf(entries.get('blk.1.attn_k_b.weight')!), keys);
    const values = [0, 1, 2, 3].flatMap(() => [...inputs]);
    close(await meansOf(entries.get('blk.1.attn_v_b.weight')!), values);
  });

  it('an embedding that is the head has both uses, and two entries where llama.cpp needs two tensors', async () => {
    const config = { ...TINY_CONFIGS.llama, tie_word_embeddings: true };
    const llama = await modelOf(randomModel(config));
    const statistics = await collected(llama);
    const imatrix = await imatrixOf(statistics, llama.model, llama.gguf, llama.plan, OPTIONS);
    const [head, embedding] = await statistics.tensor('model.embed_tokens.weight');
    const total = (values: Float32Array) => values.reduce((sum, value) => sum + value, 0);
    const [a, b] = [diagonalOf(head!.inputs), diagonalOf(embedding!.inputs)];
    const [x, y] = [total(head!.outputs), total(embedding!.outputs)];
    close(
      await meansOf(imatrix.entries.get('token_embd.weight')!),
      a.map((value, i) => value * x + b[i]! * y),
    );
    expect(imatrix.entries.has('output.weight')).toBe(false);
    const [again] = await (await imatrixStatistics(imatrix, llama.model, llama.gguf, llama.plan)).tensor(
      'model.embed_tokens.weight',
    );
    expect(again!.kind).toBe('head');

    const neox = await modelOf(randomModel({ ...TINY_CONFIGS.gpt_neox, tie_word_embeddings: true }));
    const found = await collected(neox);
    const { entries } = await imatrixOf(found, neox.model, neox.gguf, neox.plan, OPTIONS);
    const both = await found.tensor('gpt_neox.embed_in.weight');
    expect(both.map(({ kind }) => kind)).toEqual(['head', 'embedding']);
    close(await meansOf(entries.get('output.weight')!), diagonalOf(both[0]!.inputs));
    close(await meansOf(entries.get('token_embd.weight')!), diagonalOf(both[1]!.inputs));
  });

  it('a matrix without statistics has no entry; one that nothing reaches has no count', async () => {
    const { model, gguf, plan } = await family('mixtral');
    const statistics = new MemoryStatistics(10);
    const shape = { kind: 'linear' as const, outputs: new Float32Array(32).fill(1), transposed: false };
    await statistics.add('model.layers.0.self_attn.q_proj.weight', {
      ...shape,
      inputs: new Float32Array(32 * 32),
    });
    await statistics.add('model.layers.0.self_attn.o_proj.weight', {
      ...shape,
      inputs: new Float32Array(32).fill(2),
    });
    const imatrix = await imatrixOf(statistics, model, gguf, plan, { ...OPTIONS, chunkSize: 0 });
    expect(imatrix).toMatchObject({ chunkCount: 1, chunkSize: 10 });
    const { entries } = await everythingIn(sourceOf(await written(imatrix, 'gguf')));
    expect(entries).toEqual({
      'blk.0.attn_q.weight': { sums: Array(32).fill(0), counts: [0] },
      'blk.0.attn_output.weight': { sums: Array(32).fill(20), counts: [10] },
    });
  });

  it('a model whose tensors have no prefix', async () => {
    const memory = await MemoryModel.of(join(FAMILIES, 'gpt2'));
    memory.rename((name) => name.replace(/^transformer\./, ''));
    const { model, gguf, plan } = await modelOf(memory);
    const statistics = await imatrixStatistics(await opened('gpt2.gguf'), model, gguf, plan);
    expect((await statistics.tensor('h.0.mlp.c_fc.weight')).length).toBe(1);
  });
});

/** Granite-MoE, whose experts are in one tensor each for gate and up, and down. */
const STACKED = {
  model_type: 'granitemoe',
  hidden_size: 64,
  intermediate_size: 96,
  num_hidden_layers: 1,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  num_local_experts: 2,
  num_experts_per_tok: 1,
  max_position_embeddings: 64,
  vocab_size: 97,
  hidden_act: 'silu',
  rms_norm_eps: 1e-5,
  rope_theta: 10_000,
  tie_word_embeddings: true,
  embedding_multiplier: 1,
  logits_scaling: 1,
  residual_multiplier: 1,
  attention_multiplier: 0.25,
};
