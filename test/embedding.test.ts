// Embedding models: the vectors of the reference implementation, their gradients, files that are compressed to a cosine.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { finalGraph, sentenceGraph } from '../src/architectures/forward.js';
import type { Model } from '../src/core/model.js';
import { normalNumbers } from '../src/core/random.js';
import { cosineOf } from '../src/evaluation/embedding/ranks.js';
import { compress } from '../src/index.js';
import { loadWeights } from '../src/inference/block-inputs.js';
import { embedTokens } from '../src/inference/embedding/embed.js';
import { openEmbeddingProgram, poolingFeeds } from '../src/inference/embedding/program.js';
import { streamHidden } from '../src/inference/stream.js';
import { loadRuntime } from '../src/onnx/node/runtime.js';
import { openModel } from '../src/open/open.js';
import { collectEmbeddingStatistics } from '../src/quantization/calibration/collect.js';
import { EmbeddingPass } from '../src/quantization/calibration/embedding-pass.js';
import { MemoryStatistics } from '../src/quantization/calibration/memory-statistics.js';
import { FAMILIES } from './helpers/fixtures.js';
import { dot, spread } from './helpers/gradients.js';
import { MemoryModel } from './helpers/memory-model.js';
import { folder } from './helpers/safetensors.js';

const nodeRuntime = await loadRuntime();
const NAMES = ['st_bert_mean', 'st_cls', 'st_dense', 'st_lasttoken', 'st_nomic'];
const POOLING = '1_Pooling/config.json';
const asModel = (memory: MemoryModel) => memory as unknown as Model;

const largest = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  a.length === b.length
    ? Array.from(a).reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0)
    : Number.POSITIVE_INFINITY;

/** The fixture in memory, with other files in place of its own. */
async function memoryOf(name: string, files: Readonly<Record<string, unknown>> = {}): Promise<MemoryModel> {
  const memory = await MemoryModel.of(join(FAMILIES, name));
  for (const [file, content] of Object.entries(files)) {
    const list = memory.sideFiles as Model['sideFiles'][number][];
    const found = list.findIndex((side) => side.name === file);
    if (found >= 0) list.splice(found, 1);
    if (content !== undefined) memory.addFile(file, JSON.stringify(content));
  }
  return memory;
}

describe('the reference implementation', () => {
  it.each(NAMES)('%s: hidden states and embeddings, from the folder and the lossless file', async (name) => {
    const path = join(FAMILIES, name);
    const packed = join(folder(), 'model.wpk');
    await compress(path, packed);
    const { input_ids: inputs, embeddings } = JSON.parse(readFileSync(join(path, 'expected.json'), 'utf8'));
    const bytes = readFileSync(join(path, 'hidden.f32'));
    const hidden = new Float32Array(Uint8Array.from(bytes).buffer);
    for (const source of [path, packed]) {
      await using model = await openModel(source);
      const program = await openEmbeddingProgram(model);
      const states = await streamHidden(nodeRuntime, program, inputs);
      const graph = finalGraph(program.plan);
      const session = await nodeRuntime.session(graph.encode());
      const weights = await loadWeights(nodeRuntime, program, program.sentences.weights);
      const found: number[] = [];
      for (const [i, { length }] of inputs.entries()) {
        const state = nodeRuntime.floats(states.window(i), [1, length, program.plan.hiddenSize]);
        const { hidden_out } = await session.run({ ...weights, hidden: state });
        found.push(...(hidden_out!.data as Float32Array));
      }
      await session.release();
      expect(largest(found, hidden)).toBeLessThan(1e-4);
      const vectors = await embedTokens(nodeRuntime, program, inputs);
      for (const [i, vector] of vectors.entries()) expect(largest(vector, embeddings[i])).toBeLessThan(1e-4);
    }
  });
});

it('packed weights are floats', async () => {
  const [packed, floats] = [await memoryOf('st_bert_mean'), await memoryOf('st_bert_mean')];
  const name = 'encoder.layer.1.output.dense.weight';
  const values = floats.floats(name);
  const codes = Int8Array.from(values, (value) => Math.round(value * 64));
  codes.forEach((code, i) => {
    values[i] = code / 64;
  });
  const { shape } = packed.byName.get(name)!;
  packed.byName.set(name, { dtype: 'I8', shape, data: new Uint8Array(codes.buffer) });
  packed.set(`${name}_scale`, [shape[0]!, 1], new Float32Array(shape[0]!).fill(1 / 64));
  packed.config.quantization_config = { quant_method: 'compressed-tensors', format: 'int-quantized' };
  const embed = async (memory: MemoryModel) =>
    embedTokens(nodeRuntime, await openEmbeddingProgram(asModel(memory)), [[5, 6, 7, 8]]);
  const [[found], [expected], [plain]] = [
    await embed(packed),
    await embed(floats),
    await embed(await memoryOf('st_bert_mean')),
  ];
  expect(found).toEqual(expected);
  expect(largest(found!, plain!)).toBeGreaterThan(1e-4);
});

const MODES = ['cls', 'max', 'mean', 'mean_sqrt_len_tokens', 'weightedmean', 'lasttoken'];

describe('pooling', () => {
  const hidden = spread(5 * 32, 3);
  const row = (i: number) => hidden.subarray(i * 32, (i + 1) * 32);
  const combined = (weights: readonly number[]) =>
    Float32Array.from({ length: 32 }, (_, j) =>
      weights.reduce((sum, weight, i) => sum + weight * row(i)[j]!, 0),
    );

  /** Pools five tokens of which those from `first` count. */
  async function pooled(config: object, first = 0) {
    const program = await openEmbeddingProgram(
      asModel(await memoryOf('st_cls', { [POOLING]: { word_embedding_dimension: 32, ...config } })),
    );
    const session = await nodeRuntime.session(sentenceGraph(program.plan, program.modules).encode());
    const { embedding } = await session.run({
      ...poolingFeeds(nodeRuntime, program.modules, 5, first),
      hidden: nodeRuntime.floats(hidden, [1, 5, 32]),
    });
    await session.release();
    return embedding!.data as Float32Array;
  }

  it('has every mode of the reference, in the order in which they are listed', async () => {
    const found = await pooled({ pooling_mode: MODES });
    const most = Float32Array.from({ length: 32 }, (_, j) =>
      Math.max(...[0, 1, 2, 3, 4].map((i) => row(i)[j]!)),
    );
    const expected = [
      row(0),
      most,
      combined(Array(5).fill(1 / 5)),
      combined(Array(5).fill(1 / Math.sqrt(5))),
      combined([1, 2, 3, 4, 5].map((weight) => weight / 15)),
      row(4),
    ].flatMap((vector) => [...vector]);
    expect(largest(found, expected)).toBeLessThan(1e-6);
  });

  it('concatenates older flags in the order of the reference, and leaves tokens of a prompt out', async () => {
    const flags = {
      pooling_mode_lasttoken: true,
      pooling_mode_mean_tokens: true,
      pooling_mode_cls_token: true,
    };
    const found = await pooled({ ...flags, include_prompt: false }, 2);
    const expected = [row(2), combined([0, 0, 1 / 3, 1 / 3, 1 / 3]), row(4)].flatMap((vector) => [...vector]);
    expect(largest(found, expected)).toBeLessThan(1e-6);
    const rest = await pooled({ pooling_mode: ['max', 'weightedmean'] }, 3);
    const most = Float32Array.from({ length: 32 }, (_, j) => Math.max(row(3)[j]!, row(4)[j]!));
    expect(largest(rest, [...most, ...combined([0, 0, 0, 4 / 9, 5 / 9])])).toBeLessThan(1e-6);
  });
});

describe('gradients of embeddings', () => {
  const CASES: Record<string, () => Promise<MemoryModel>> = {
    'every mode, concatenated': () => memoryOf('st_bert_mean', { [POOLING]: { pooling_mode: MODES } }),
    'a dense layer with an activation': () => memoryOf('st_dense'),
    'a final norm': () => memoryOf('st_lasttoken'),
  };

  it.each(Object.keys(CASES))('%s: central differences', async (name) => {
    const program = await openEmbeddingProgram(asModel(await CASES[name]!()));
    const [seed, length] = [7, 4];
    const hidden = spread(2 * length * 32, 11);
    const pass = await EmbeddingPass.open(nodeRuntime, program, { seed, first: 0, signal: undefined });
    const found = await pass.batch(hidden, { tokens: [[], []], length });
    await pass.release();
    const graph = sentenceGraph(program.plan, program.modules, true);
    const session = await nodeRuntime.session(graph.encode());
    const weights = await loadWeights(nodeRuntime, program, program.sentences.weights);
    let directions: Float32Array | undefined;
    const along = async () => {
      const { embedding } = await session.run({
        ...weights,
        ...poolingFeeds(nodeRuntime, program.modules, length),
        hidden: nodeRuntime.floats(hidden, [2, length, 32]),
      });
      const vectors = embedding!.data as Float32Array;
      directions ??= Float32Array.from({ length: vectors.length }, normalNumbers(seed));
      return dot(vectors, directions);
    };
    const step = 1 / 512;
    let difference = 0;
    for (let i = 0; i < hidden.length; i += 3) {
      const before = hidden[i]!;
      hidden[i] = before + step;
      const above = await along();
      hidden[i] = before - step;
      const below = await along();
      hidden[i] = before;
      difference = Math.max(difference, Math.abs((above - below) / (2 * step) - found[i]!));
    }
    await session.release();
    const most = found.reduce((sum, value) => Math.max(sum, Math.abs(value)), 0);
    expect(difference / most).toBeLessThan(5e-3);
  });

  it('statistics predict what an error of a matrix costs', async () => {
    const memory = await memoryOf('st_bert_mean');
    const name = 'encoder.layer.1.output.dense.weight';
    const given = { sentences: Array.from({ length: 4000 }, () => [17]), first: 0 };
    const statistics = new MemoryStatistics(0);
    await collectEmbeddingStatistics(nodeRuntime, asModel(memory), given, statistics);
    const { inputs, outputs } = (await statistics.tensor(name))[0]!;
    const before = await embedTokens(nodeRuntime, await openEmbeddingProgram(asModel(memory)), [[17]]);
    const error = spread(32 * 64, 5).map((value) => value / 100);
    const weights = memory.floats(name);
    error.forEach((value, i) => {
      weights[i]! += value;
    });
    const changed = await memoryOf('st_bert_mean');
    changed.set(name, [32, 64], weights);
    const after = await embedTokens(nodeRuntime, await openEmbeddingProgram(asModel(changed)), [[17]]);
    let cost = 0; // 1/2 tr(outputs E inputs E^T)
    for (let i = 0; i < 32; i++)
      for (let j = 0; j < 32; j++)
        for (let a = 0; a < 64; a++)
          for (let b = 0; b < 64; b++)
            cost +=
              (outputs[i * 32 + j]! * error[j * 64 + a]! * inputs[a * 64 + b]! * error[i * 64 + b]!) / 2;
    const loss = 1 - cosineOf(before[0]!, after[0]!);
    expect(loss).toBeGreaterThan(1e-6);
    expect(Math.abs(cost / loss - 1)).toBeLessThan(0.15);
  });

  it('sentences of different lengths give the same statistics in any batches', async () => {
    const memory = await memoryOf('st_dense');
    const given = {
      sentences: [
        [5, 6, 7],
        [8, 9],
        [10, 11, 12],
        [13, 14, 15, 16, 17],
      ],
      first: 0,
    };
    const [a, b] = [new MemoryStatistics(0), new MemoryStatistics(0)];
    await collectEmbeddingStatistics(nodeRuntime, asModel(memory), given, a);
    await collectEmbeddingStatistics(nodeRuntime, asModel(memory), given, b, { batchTokens: 1 });
    const name = 'transformer.layer.0.attention.q_lin.weight';
    const [[one], [other]] = [await a.tensor(name), await b.tensor(name)];
    for (const side of ['inputs', 'outputs'] as const) {
      const most = one![side].reduce((sum, value) => Math.max(sum, Math.abs(value)), 0);
      expect(most).toBeGreaterThan(0);
      expect(largest(one![side], other![side]) / most).toBeLessThan(1e-4);
    }
    const [positions] = await a.tensor('embeddings.position_embeddings.weight');
    expect(Array.from(positions!.outputs.slice(0, 6), (value) => Math.round(value * 13))).toEqual([
      4, 4, 3, 1, 1, 0,
    ]);
  });
});
