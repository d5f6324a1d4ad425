import { describe, expect, it } from 'vitest';
import { floorBits } from '../bench/synthetic/floors.js';
import { PACKED, STRUCTURE } from '../bench/synthetic/packed.js';
import type { Dtype } from '../src/core/dtype.js';
import { sumOf } from '../src/core/sum.js';
import { encodeTensor } from './helpers/lossless.js';

interface Tensor {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly data: Uint8Array;
}

/** Rows and columns: so few weights that tables take some of what contexts save. `node bench/floors.js` has sizes without that. */
const [ROWS, COLUMNS] = [256, 512];

/** What a checkpoint may take beyond its floor, in percent of its bytes. */
const EXTRA: Readonly<Record<string, number>> = {
  'F32|F16|BF16|LoRA': 0.15,
  Adam: 0.3,
  'i div|rows of positions': 0.05,
  'sorted indices': 0.3,
  'token ids': 2,
  permutation: 5.5,
  'FP8|INT|NF4|MXFP4|GPTQ, symmetric': 1.6,
  'GGUF|NVFP4|GPTQ, asymmetric|AWQ': 2.5,
};

describe('a checkpoint of synthetic weights takes little more than its floor', () => {
  it.each(Object.entries(PACKED))('%s', (name, make) => {
    const tensors = make(ROWS, COLUMNS) as unknown as Tensor[];
    const bytes = sumOf(tensors, ({ data }) => data.length);
    const floor = sumOf(
      tensors,
      (tensor) => floorBits(tensor, STRUCTURE[name as keyof typeof STRUCTURE]) / 8,
    );
    const coded = sumOf(tensors, ({ dtype, shape, data }) =>
      sumOf(encodeTensor(dtype, shape, data), ({ payload }) => payload.length),
    );
    const [, extra] = Object.entries(EXTRA).find(([names]) => new RegExp(`^(${names})`).test(name))!;
    const share = (part: number) => (100 * part) / bytes;
    expect(share(coded - floor)).toBeLessThan(extra);
    expect(share(coded - floor)).toBeGreaterThan(-1); // what is below its floor has a floor that is wrong
  });
});
