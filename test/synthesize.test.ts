// @module-tag slow
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { synthesize } from '../bench/synthesize.js';
import { parameterShapes } from '../src/architectures/shapes.js';
import type { Model } from '../src/core/model.js';
import { openModel } from '../src/open/open.js';

const work = mkdtempSync(join(tmpdir(), 'weightpress-synthesize-'));
const opened: Model[] = [];
afterAll(async () => {
  for (const model of opened) await model.close();
  rmSync(work, { recursive: true });
});

async function open(directory: string): Promise<Model> {
  const model = await openModel(directory);
  opened.push(model);
  return model;
}

const digest = (directory: string) =>
  createHash('sha256')
    .update(readFileSync(join(directory, 'model.safetensors')))
    .digest('hex');

/** Root mean square of each of the first `rows` rows. */
function rowScales(values: Float32Array, rows: number, columns: number): number[] {
  return Array.from({ length: rows }, (_, row) => {
    const squares = values.subarray(row * columns, (row + 1) * columns).map((value) => value * value);
    return Math.sqrt(squares.reduce((sum, square) => sum + square, 0) / columns);
  });
}

describe.each([
  ['dialogpt-small', 'transformer.h.0.mlp.c_fc.weight', 'transformer.ln_f.weight', 46_473_216],
  ['codebert-base', 'encoder.layer.0.intermediate.dense.weight', 'embeddings.LayerNorm.weight', 46_679_040],
] as const)('%s cut to one layer', (shape, matrix, norm, parameters) => {
  const output = join(work, shape);
  let request: Parameters<typeof synthesize>[0];
  let result: Awaited<ReturnType<typeof synthesize>>;
  beforeAll(async () => {
    request = { shape, output, layers: 1, seed: 7 };
    result = await synthesize(request);
  });

  it('is a model with the tensors its config asks for', async () => {
    const model = await open(output);
    const shapes = new Map(parameterShapes(model.config!).map((tensor) => [tensor.name, tensor.shape]));
    expect(new Map(model.tensors.map((tensor) => [tensor.name, tensor.shape]))).toEqual(shapes);
    expect(new Set(model.tensors.map((tensor) => tensor.dtype))).toEqual(new Set(['F32']));
    expect(result.parameters).toBe(parameters);
    expect(model.weightFiles[0]?.lengthBytes).toBe(result.fileBytes);
  });

  it('says that it is synthetic', () => {
    const [, frontMatter] = readFileSync(join(output, 'README.md'), 'utf8').split('---\n');
    expect(frontMatter).toContain('- synthetic');
  });

  it('depends on the seed and on nothing else', async () => {
    const again = join(work, 'again');
    await synthesize({ ...request, output: again });
    expect(digest(again)).toBe(digest(output));
    await synthesize({ ...request, output: again, seed: 8 });
    expect(digest(again)).not.toBe(digest(output));
  });

  it('has the low mantissa bits of trained f32, though the model it is drawn from is bf16', async () => {
    const model = await open(output);
    for (const name of [matrix, matrix.replace('weight', 'bias'), norm]) {
      const bytes = await model.readTensor(name);
      const seen = new Float64Array(256);
      for (let i = 0; i < bytes.length; i += 4) seen[bytes[i]!]!++;
      const count = bytes.length / 4;
      const entropy = -seen.reduce((sum, n) => (n ? sum + (n / count) * Math.log2(n / count) : sum), 0);
      // Uniform bytes show about 255 / (2 n ln 2) bits less than 8 (0.24 for n = 768).
      expect(entropy).toBeGreaterThan(8 - 300 / count);
    }
  });

  it('has rows of different scale and tails longer than a normal distribution', async () => {
    const model = await open(output);
    const info = model.tensors.find(({ name }) => name === matrix)!;
    const [rows, columns] = info.shape as [number, number];
    const values = new Float32Array((await model.readTensor(matrix)).slice().buffer);
    const scales = rowScales(values, rows, columns).sort((a, b) => a - b);
    expect(scales[Math.floor(rows * 0.9)]! / scales[Math.floor(rows * 0.1)]!).toBeGreaterThan(1.1);
    const moment = (power: number) => values.reduce((sum, value) => sum + value ** power, 0) / values.length;
    expect(moment(4) / moment(2) ** 2).toBeGreaterThan(3.02);
  });
});

describe('a synthesized model', () => {
  it('takes bf16 and f16', async () => {
    for (const [dtype, name] of [
      ['bf16', 'BF16'],
      ['f16', 'F16'],
    ] as const) {
      const output = join(work, dtype);
      await synthesize({ shape: 'codebert-base', output, layers: 1, dtype });
      const model = await open(output);
      expect(model.tensors.every((tensor) => tensor.dtype === name)).toBe(true);
      expect(model.config?.torch_dtype).toBe({ bf16: 'bfloat16', f16: 'float16' }[dtype]);
    }
  });

  it('brings the tokenizer it was given when its ids fit', () => {
    expect(readdirSync(join(work, 'bf16')).sort()).toEqual([
      'README.md',
      'config.json',
      'model.safetensors',
      'tokenizer.json',
      'tokenizer_config.json',
    ]);
  });

  it('refuses an unknown shape and more layers than there are', async () => {
    await expect(synthesize({ shape: 'gpt-5', output: work })).rejects.toThrow('gpt-5');
    await expect(synthesize({ shape: 'llama-7b', output: work, layers: 33 })).rejects.toThrow(
      '1 to 32, found 33',
    );
  });
});
