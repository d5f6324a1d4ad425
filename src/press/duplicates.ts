import { createHash } from 'node:crypto';
import type { Model, TensorInfo } from '../formats/model.js';
import { BLOCK_BYTES } from '../kernels/lossless.js';

/** Bytes read at the front, the middle and the end of a tensor before it is read whole. */
const SAMPLE_BYTES = 4096;

/**
 * For each tensor the index of an earlier one with the same dtype and bytes, or undefined.
 * Tensors of equal length are told apart by three samples; only those alike in all of them are read whole.
 */
export async function findDuplicates(model: Model): Promise<(number | undefined)[]> {
  const groups = await split([model.tensors.map((_, i) => i)], (i) => {
    const { dtype, lengthBytes } = model.tensors[i]!;
    return `${dtype} ${lengthBytes}`;
  });
  const alike = await split(groups, (i) => digest(model, model.tensors[i]!, samples(model.tensors[i]!)));
  const same = await split(alike, (i) => digest(model, model.tensors[i]!, blocks(model.tensors[i]!)));
  const duplicates: (number | undefined)[] = model.tensors.map(() => undefined);
  for (const [first, ...others] of same) for (const other of others) duplicates[other] = first;
  return duplicates;
}

/** Splits groups of indices by a key, dropping what is alone. */
async function split(
  groups: number[][],
  key: (index: number) => string | Promise<string>,
): Promise<number[][]> {
  const result: number[][] = [];
  for (const group of groups) {
    const byKey = new Map<string, number[]>();
    for (const index of group) {
      const k = await key(index);
      byKey.set(k, [...(byKey.get(k) ?? []), index]);
    }
    result.push(...[...byKey.values()].filter(({ length }) => length > 1));
  }
  return result;
}

async function digest(
  model: Model,
  { name }: TensorInfo,
  ranges: Iterable<readonly [number, number]>,
): Promise<string> {
  const hash = createHash('sha256');
  for (const [start, end] of ranges) hash.update(await model.readTensor(name, start, end));
  return hash.digest('hex');
}

function samples({ lengthBytes }: TensorInfo): [number, number][] {
  return [0, Math.floor(lengthBytes / 2), Math.max(0, lengthBytes - SAMPLE_BYTES)].map((start) => [
    start,
    Math.min(lengthBytes, start + SAMPLE_BYTES),
  ]);
}

function* blocks({ lengthBytes }: TensorInfo): Generator<[number, number]> {
  for (let start = 0; start < lengthBytes; start += BLOCK_BYTES)
    yield [start, Math.min(lengthBytes, start + BLOCK_BYTES)];
}
