import { describe, expect, test } from 'vitest';
import { evaluate, open } from '../src/index.js';
import { loadRuntime } from '../src/onnx/node/runtime.js';
import { roundToDtype } from '../src/quantization/round-to-dtype.js';
import { tune } from '../src/quantization/tuning/tune.js';
import { MemoryModel } from './helpers/memory-model.js';
import { seededRandom } from './helpers/safetensors.js';

const nodeRuntime = await loadRuntime();

const MODEL = 'examples/gpt-neo-tiny';

describe('tuning', () => {
  test('brings the divergence of a model with damaged matrices down, on text that it has not seen, by vectors alone', {
    tags: 'slow',
  }, async () => {
    const original = await open(MODEL);
    const damaged = await MemoryModel.of(MODEL);
    const random = seededRandom(5);
    for (const [name, { shape, data }] of damaged.byName) {
      if (shape.length < 2 || /wte|wpe/.test(name)) continue;
      const words = new Uint16Array(data.buffer, data.byteOffset, data.length / 2);
      for (let i = 0; i < words.length; i++) if (random() < 0.2) words[i] = 0; // a fifth of the weights
    }
    const tokens = Array.from({ length: 40 * 64 }, () => Math.floor(random() * 4096));
    const windows = Array.from({ length: 40 }, (_, i) => tokens.slice(i * 64, (i + 1) * 64));
    const unseen = Array.from({ length: 20 * 64 }, () => Math.floor(random() * 4096));
    const divergence = async () => {
      const { kl } = await evaluate(damaged as never, { tokens: unseen, window: 64, against: original });
      return kl!.mean;
    };
    const before = await divergence();
    const vectors = await tune(nodeRuntime, original, damaged as never, windows, { steps: 40 });
    for (const [name, values] of vectors) {
      const tensor = damaged.byName.get(name)!;
      expect(tensor.shape).toEqual([values.length]);
      damaged.byName.set(name, { ...tensor, data: roundToDtype(values, 'BF16')! });
    }
    expect(vectors.size).toBe(4 * 7 + 2);
    expect(await divergence()).toBeLessThan(before * 0.9);
    await original.close();
  });
});

describe('elements of 16 bits', () => {
  const bits = (values: readonly number[], dtype: 'F16' | 'BF16') => {
    const bytes = roundToDtype(Float32Array.from(values), dtype)!;
    return [...new Uint16Array(bytes.buffer)];
  };

  test('float16: ties to even, subnormals, signs, saturation', () => {
    const tie = 1 + 2 ** -11;
    const values = [
      1,
      -2,
      0.1,
      tie,
      1 + 3 * 2 ** -11,
      65504,
      1e6,
      2 ** -24,
      2 ** -26,
      -0,
      2 ** -14 - 2 ** -26,
    ];
    const expected = [0x3c00, 0xc000, 0x2e66, 0x3c00, 0x3c02, 0x7bff, 0x7bff, 1, 0, 0x8000, 0x0400];
    expect(bits(values, 'F16')).toEqual(expected);
  });

  test('bfloat16: ties to even', () => {
    expect(bits([1, -1, 1 + 2 ** -8, 1 + 3 * 2 ** -8], 'BF16')).toEqual([0x3f80, 0xbf80, 0x3f80, 0x3f82]);
  });

  test('other dtypes are not rounded to', () => {
    expect(roundToDtype(Float32Array.of(1), 'F64')).toBeUndefined();
  });
});
