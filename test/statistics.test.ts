import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Model } from '../src/core/model.js';
import { randomNumbers } from '../src/core/random.js';
import { loadRuntime } from '../src/onnx/node/runtime.js';
import { SpillStore } from '../src/quantization/calibration/array-store.js';
import type { CalibrationWindow } from '../src/quantization/calibration/batches.js';
import { type CollectOptions, collectStatistics } from '../src/quantization/calibration/collect.js';
import { sampleGradients } from '../src/quantization/calibration/label-gradients.js';
import { loadStatistics } from '../src/quantization/calibration/load-statistics.js';
import { MemoryStatistics } from '../src/quantization/calibration/memory-statistics.js';
import { StatisticsFile } from '../src/quantization/calibration/statistics-file.js';
import { FIXTURES } from './helpers/fixtures.js';
import { gptNeoLogits, logProbabilities, type See } from './helpers/gpt-neo-reference.js';
import { refusalOf } from './helpers/logits.js';
import { MemoryModel } from './helpers/memory-model.js';
import { folder, seededRandom } from './helpers/safetensors.js';

const nodeRuntime = await loadRuntime();

const fixture = (name: string) => MemoryModel.of(join(FIXTURES, name));
const windowsOf = (count: number, length: number, seed = 1) => {
  const random = seededRandom(seed);
  return Array.from({ length: count }, () => Array.from({ length }, () => Math.floor(random() * 97)));
};

async function collect(
  memory: MemoryModel,
  windows: readonly CalibrationWindow[],
  options: CollectOptions = {},
): Promise<MemoryStatistics> {
  const statistics = new MemoryStatistics(0);
  await collectStatistics(nodeRuntime, memory as unknown as Model, windows, statistics, options);
  return statistics;
}

/** The largest difference of two arrays, relative to the second's largest value. */
function relative(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).toBe(b.length);
  let [difference, largest] = [0, 0];
  for (let i = 0; i < a.length; i++) {
    difference = Math.max(difference, Math.abs(a[i]! - b[i]!));
    largest = Math.max(largest, Math.abs(b[i]!));
  }
  return difference / largest;
}

/** E[v v^T] of rows, [n, n]. */
function secondMoment(rows: readonly ArrayLike<number>[]): Float64Array {
  const n = rows[0]!.length;
  const result = new Float64Array(n * n);
  for (const row of rows)
    for (let i = 0; i < n; i++)
      for (let j = 0; j < n; j++) result[i * n + j]! += (row[i]! * row[j]!) / rows.length;
  return result;
}

/** Rows times the lengths of others, over the root of their mean square. */
function weighted(rows: readonly Float64Array[], by: readonly Float64Array[]): Float64Array[] {
  const squares = by.map((row) => row.reduce((sum, value) => sum + value * value, 0));
  const mean = squares.reduce((sum, square) => sum + square, 0) / squares.length;
  return rows.map((row, i) => row.map((value) => value * Math.sqrt(squares[i]! / mean)));
}

/** GPT-Neo's statistics the slow way: gradients are differences of the loss as each number moves. */
class Reference {
  private readonly random = randomNumbers(1);
  private readonly labels: number[][];

  constructor(
    private readonly model: MemoryModel,
    private readonly windows: readonly number[][],
  ) {
    this.labels = windows.map((window) => this.probabilities(window).map((p) => this.draw(p)));
  }

  probabilities(window: readonly number[], see?: See): Float64Array[] {
    return gptNeoLogits(this.model, window, see).map((row) => logProbabilities(row).map(Math.exp));
  }

  inputs(name: string): Float64Array[] {
    return this.windows.flatMap((window) => {
      let found: Float64Array[] = [];
      this.probabilities(window, (seen, inputs) => {
        if (seen === name) found = inputs;
      });
      return found;
    });
  }

  /** d(sum of -log p(label)) / d(output), a row a token. */
  gradients(name: string): Float64Array[] {
    return this.windows.flatMap((window, index) => {
      let features = 0;
      const loss = (token: number, feature: number, move: number) => {
        const see: See = (seen, _, outputs) => {
          if (seen !== name) return;
          features = outputs[0]!.length;
          outputs[token]![feature]! += move;
        };
        const probabilities = this.probabilities(window, see);
        return -probabilities.reduce((sum, p, i) => sum + Math.log(p[this.labels[index]![i]!]!), 0);
      };
      loss(0, 0, 0);
      return window.map((_, token) =>
        Float64Array.from(
          { length: features },
          (_, feature) => (loss(token, feature, 1e-4) - loss(token, feature, -1e-4)) / 2e-4,
        ),
      );
    });
  }

  private draw(probabilities: Float64Array): number {
    const drawn = this.random();
    let sum = 0;
    return probabilities.findIndex((p) => {
      sum += p;
      return drawn < sum;
    });
  }
}

describe('statistics of GPT-Neo, against the slow way in float64', async () => {
  const windows = windowsOf(2, 4);
  const model = await fixture('gpt_neo');
  const layer = (name: string) => `transformer.h.1.${name}.weight`;
  const embedding = 'transformer.wte.weight';

  it.each(['attn.attention.v_proj', 'attn.attention.out_proj', 'mlp.c_fc', 'mlp.c_proj'])(
    '%s',
    { tags: 'slow' },
    async (name) => {
      const reference = new Reference(model, windows);
      const [found] = await (await collect(model, windows)).tensor(layer(name));
      expect(found).toMatchObject({ kind: 'linear', transposed: false });
      const gradients = reference.gradients(layer(name));
      const inputs = weighted(reference.inputs(layer(name)), gradients);
      expect(relative(found!.inputs, secondMoment(inputs))).toBeLessThan(1e-3);
      expect(relative(found!.outputs, secondMoment(gradients))).toBeLessThan(1e-3);
    },
  );

  it('the tied embedding: as head by its inputs and p (1 - p), as embedding by its gradient and frequencies', async () => {
    const reference = new Reference(model, windows);
    const [head, table, ...more] = await (await collect(model, windows)).tensor(embedding);
    expect(more).toEqual([]);
    expect([head!.kind, table!.kind]).toEqual(['head', 'embedding']);
    expect(relative(head!.inputs, secondMoment(reference.inputs(embedding)))).toBeLessThan(1e-4);
    const probabilities = windows.flatMap((window) => reference.probabilities(window));
    const variance = Array.from({ length: 97 }, (_, i) =>
      probabilities.reduce((sum, p) => sum + (p[i]! * (1 - p[i]!)) / 8, 0),
    );
    expect(relative(head!.outputs, variance)).toBeLessThan(1e-4);
    expect(relative(table!.inputs, secondMoment(reference.gradients('embedding')))).toBeLessThan(1e-3);
    const frequencies = Array.from(
      { length: 97 },
      (_, i) => windows.flat().filter((token) => token === i).length / 8,
    );
    expect(relative(table!.outputs, frequencies)).toBeLessThan(1e-6);
  });

  it('positions are each seen once a window', async () => {
    const statistics = await collect(model, windows);
    const [positions] = await statistics.tensor('transformer.wpe.weight');
    expect([...positions!.outputs.subarray(0, 7)].map((x) => Math.round(x * 1e6) / 1e6)).toEqual([
      0.25, 0.25, 0.25, 0.25, 0, 0, 0,
    ]);
    expect(positions!.inputs).toEqual((await statistics.tensor(embedding))[1]!.inputs);
  });

  it('draws labels as often as the model predicts them, and another seed draws others', async () => {
    const logits = Float32Array.from([0, Math.log(2), Math.log(5)]);
    const random = randomNumbers(3);
    const drawn = [0, 0, 0];
    for (let i = 0; i < 8000; i++)
      drawn[sampleGradients(logits.slice(), 3, random, new Float64Array(3)).findIndex((g) => g < 0)]! += 1;
    for (const [i, share] of [1, 2, 5].entries()) expect(drawn[i]! / 1000 / share).toBeCloseTo(1, 0.8);
    const name = layer('mlp.c_fc');
    const [[one] = [], [same] = [], [other] = []] = await Promise.all(
      [1, 1, 2].map(async (seed) => (await collect(model, windows, { seed })).tensor(name)),
    );
    expect(same).toEqual(one);
    expect(relative(other!.inputs, one!.inputs)).toBeGreaterThan(0.01); // gradients weigh them
    expect(relative(other!.outputs, one!.outputs)).toBeGreaterThan(0.1);
  });
});

const NAMES = ['gpt_neo', 'gpt2', 'roberta', 'llama', 'qwen2', 'gpt_neox'];

describe('statistics of every architecture', () => {
  it.each(NAMES)('%s: every matrix, whatever the batches and wherever states wait', async (name) => {
    const model = await fixture(name);
    const windows = windowsOf(5, 12);
    const all = await collect(model, windows);
    const spill = new SpillStore(join(folder({}), 'states'), 5000);
    const pieces = await collect(model, windows, { batchTokens: 25, store: spill });
    await spill.close();
    for (const { name: tensor, shape, dtype } of model.tensors) {
      if (shape.length !== 2 || !/^B?F/.test(dtype)) continue;
      const found = await all.tensor(tensor);
      expect(found.length, tensor).toBeGreaterThan(0);
      const others = await pieces.tensor(tensor);
      for (const [i, { kind, inputs, outputs, transposed }] of found.entries()) {
        const [rows, columns] = transposed ? shape.toReversed() : shape;
        expect(inputs.length, tensor).toBe(columns! ** 2);
        expect(outputs.length, tensor).toBe(kind === 'linear' ? rows! ** 2 : rows);
        expect(relative(others[i]!.inputs, inputs), tensor).toBeLessThan(1e-5);
        expect(relative(others[i]!.outputs, outputs), tensor).toBeLessThan(1e-5);
        expect(symmetric(inputs), tensor).toBe(true);
      }
    }
  });

  it('GPT-2 stores its matrices [in, out], which is said', async () => {
    const statistics = await collect(await fixture('gpt2'), windowsOf(1, 8));
    const [layer] = await statistics.tensor('transformer.h.0.attn.c_attn.weight');
    const [head] = await statistics.tensor('transformer.wte.weight');
    expect([layer!.transposed, head!.transposed]).toEqual([true, false]);
    expect([layer!.inputs.length, layer!.outputs.length]).toEqual([40 ** 2, 120 ** 2]);
  });

  it('a masked model predicts where its windows say, a predicted token counting one', async () => {
    const model = await fixture('roberta');
    const input = Int32Array.from(windowsOf(1, 12)[0]!);
    const once = await collect(model, [{ input, rows: [3, 7] }]);
    const [decoder] = await once.tensor('roberta.embeddings.word_embeddings.weight');
    const sum = decoder!.outputs.reduce((total, weight) => total + weight, 0);
    expect(sum).toBeGreaterThan(0.5);
    expect(sum).toBeLessThan(1);
    // a rank of two: two rows of x, two labels
    const { inputs } = decoder!;
    const minor = (i: number, j: number, k: number) => {
      const at = (a: number, b: number) => inputs[a * 48 + b]!;
      const [a, b, c] = [i, j, k].map((row) => [i, j, k].map((column) => at(row, column)));
      const determinant =
        a![0]! * (b![1]! * c![2]! - b![2]! * c![1]!) -
        a![1]! * (b![0]! * c![2]! - b![2]! * c![0]!) +
        a![2]! * (b![0]! * c![1]! - b![1]! * c![0]!);
      return Math.abs(determinant) / (a![0]! * b![1]! * c![2]!);
    };
    expect(minor(1, 2, 3)).toBeLessThan(1e-4);
    // a window that predicts nothing changes no mean over predictions, and as a copy of the other none over tokens
    const beside = await collect(model, [
      { input, rows: [3, 7] },
      { input, rows: [] },
    ]);
    for (const { name } of model.tensors)
      for (const [i, { inputs, outputs }] of (await once.tensor(name)).entries()) {
        const other = (await beside.tensor(name))[i]!;
        expect(relative(other.inputs, inputs), name).toBeLessThan(1e-5);
        expect(relative(other.outputs, outputs), name).toBeLessThan(1e-5);
      }
    const [types] = await once.tensor('roberta.embeddings.token_type_embeddings.weight');
    expect([...types!.outputs]).toEqual([1]);
  });

  it.each([
    ['no windows', [], 'expected calibration windows of one length, 1 to 32 tokens'],
    ['windows of two lengths', [[1, 2], [1]], 'expected calibration windows of one length, 1 to 32 tokens'],
    [
      'a window over the context',
      windowsOf(1, 33),
      'expected calibration windows of one length, 1 to 32 tokens',
    ],
    ['a token that there is not', [[1, 97]], 'token 97 is not in the vocabulary of 97'],
  ])('%s: refused in one line', async (_, windows, message) => {
    const model = await fixture('gpt_neo');
    expect(await refusalOf(() => collect(model, windows))).toBe(`model: ${message}`);
  });
});

function symmetric(matrix: Float32Array): boolean {
  const n = Math.sqrt(matrix.length);
  return matrix.every((value, i) => value === matrix[(i % n) * n + Math.floor(i / n)]);
}

describe('statistics in a file', () => {
  const text = (windows = windowsOf(3, 10)) => ({ sha256: 'ab'.repeat(32), windows });
  const write = async (name: string, path = join(folder({}), 's.stats')) => {
    const model = await fixture(name);
    const file = await loadStatistics(path, nodeRuntime, model as unknown as Model, text());
    return { model, path, file };
  };

  it.each(NAMES)('%s: the same to the bit as in memory, nothing left beside the file', async (name) => {
    const { model, path, file } = await write(name);
    const memory = await collect(model, text().windows);
    expect(file.tokens).toBe(30);
    for (const tensor of model.tensors)
      expect(await file.tensor(tensor.name), tensor.name).toEqual(await memory.tensor(tensor.name));
    expect(await file.tensor('no such tensor')).toEqual([]);
    await file.close();
    expect(readdirSync(join(path, '..'))).toEqual(['s.stats']);
  });

  it('holds triangles, and what tables share once', async () => {
    const { model, path, file } = await write('gpt_neo');
    await file.close();
    const [h, triangle] = [36, (n: number) => (n * (n + 1)) / 2];
    // inputs, then outputs: five matrices have h features on a side and one 4 h; then head and tables, which share theirs
    const layer = 2 * (5 * triangle(h) + triangle(4 * h));
    const numbers = 4 * layer + triangle(h) + 97 + triangle(h) + 97 + 32;
    expect(model.config.num_layers).toBe(4);
    const bytes = readFileSync(path);
    const directory = Number(bytes.readBigUInt64LE(bytes.length - 24));
    expect(bytes.length).toBe(8 + 4 * numbers + directory + 24);
  });

  it('is used again, without a pass over the model', async () => {
    const { model, path, file } = await write('llama');
    await file.close();
    const before = statSync(path).mtimeMs;
    const options = { onProgress: () => expect.unreachable('collected again') };
    const again = await loadStatistics(path, nodeRuntime, model as unknown as Model, text(), options);
    expect(again.tokens).toBe(30);
    await again.close();
    expect(statSync(path).mtimeMs).toBe(before);
  });

  it('is refused for another model, text, window or seed, and stays as it is', async () => {
    const { model, path, file } = await write('qwen2');
    await file.close();
    const bytes = readFileSync(path);
    const use = (memory: MemoryModel, given = text(), seed = 1) =>
      refusalOf(() => loadStatistics(path, nodeRuntime, memory as unknown as Model, given, { seed }));
    const longer = text(windowsOf(3, 11));
    expect(await use(model, { ...text(), sha256: 'cd'.repeat(32) })).toMatch(
      /s\.stats: statistics of another text: /,
    );
    expect(await use(model, longer)).toMatch(/another number of tokens: expected 33, found 30$/);
    expect(await use(model, text(), 2)).toMatch(/another seed: expected 2, found 1$/);
    const changed = await fixture('qwen2');
    changed.byName.get('model.norm.weight')!.data[0]! ^= 1;
    expect(await use(changed)).toMatch(/statistics of another model: /);
    expect(Buffer.compare(readFileSync(path), bytes)).toBe(0);
  });

  it('an interrupted collection leaves no file', async () => {
    const model = (await fixture('gpt2')) as unknown as Model;
    const path = join(folder({}), 's.stats');
    for (const share of [0.1, 0.5, 0.7]) {
      const stop = new AbortController();
      const onProgress = (done: number, total: number) => done > share * total && stop.abort();
      const started = loadStatistics(path, nodeRuntime, model, text(), { signal: stop.signal, onProgress });
      await expect(started).rejects.toThrow(/abort/);
      expect(readdirSync(join(path, '..'))).toEqual([]);
    }
  });

  it('damage anywhere is refused in one line', async () => {
    const { model, path, file } = await write('gpt2');
    await file.close();
    const good = readFileSync(path);
    const readAll = async () => {
      const opened = await StatisticsFile.open(path);
      try {
        for (const { name } of model.tensors) await opened.tensor(name);
      } finally {
        await opened.close();
      }
    };
    const random = seededRandom(5);
    for (let i = 0; i < 60; i++) {
      const bad = Buffer.from(good);
      const nearEnd = i % 2 ? Math.min(4000, bad.length) : bad.length;
      bad[bad.length - 1 - Math.floor(random() * nearEnd)]! ^= 1 << Math.floor(random() * 8);
      writeFileSync(path, bad);
      expect(await damageOf(readAll)).toMatch(/s\.stats.*(damaged|expected|is not a statistics file)/);
    }
    for (const length of [0, 7, 20, 31, 32, 1000, good.length - 1]) {
      writeFileSync(path, good.subarray(0, length));
      expect(await damageOf(readAll)).toMatch(/bad trailer of a statistics file|is not a statistics file/);
    }
    expect(await refusalOf(() => StatisticsFile.open(`${path}.none`))).toMatch(/no such file/);
  });
});

/** As {@link refusalOf}, of bytes that differ from their checksum. */
async function damageOf(run: () => Promise<unknown>): Promise<string> {
  try {
    await run();
  } catch (error) {
    const { name, message } = error as Error;
    expect(['InputError', 'IntegrityError']).toContain(name);
    expect(message).not.toMatch(/[\r\n]/);
    return message;
  }
  throw new Error('was accepted');
}
