import { createHash } from 'node:crypto';
import { BLOCK_BYTES } from '../../wasm/lossless.js';

/** A tensor that may be a duplicate. */
export interface DuplicateCandidate {
  readonly dtype: string;
  readonly lengthBytes: number;
  /** Reads bytes `start` to `end` (exclusive). */
  read(start: number, end: number): Promise<Uint8Array>;
}

/** Bytes read from the middle of a tensor before reading all of it. Smaller tensors are skipped: storing them twice costs little. */
const SAMPLE_BYTES = 4096;

/**
 * Finds duplicate tensors. Reads a sample of tensors with the same dtype and length, and all of those whose samples agree.
 * @returns for each tensor the index of an earlier one with the same dtype and bytes, or undefined.
 */
export async function findDuplicates(
  tensors: readonly DuplicateCandidate[],
): Promise<(number | undefined)[]> {
  const all = tensors.flatMap(({ lengthBytes }, i) => (lengthBytes >= SAMPLE_BYTES ? [i] : []));
  const at = (index: number) => tensors[index]!;
  const alike = await split([all], (i) => `${at(i).dtype} ${at(i).lengthBytes}`);
  const likely = await split(alike, (i) => digest(at(i), [sampleOf(at(i))]));
  const same = await split(likely, (i) => digest(at(i), blocksOf(at(i))));
  const duplicates: (number | undefined)[] = tensors.map(() => undefined);
  for (const [first, ...others] of same) for (const other of others) duplicates[other] = first;
  return duplicates;
}

/** Splits groups of indices by a key, dropping groups of one. */
async function split(
  groups: readonly (readonly number[])[],
  key: (index: number) => string | Promise<string>,
): Promise<number[][]> {
  const result: number[][] = [];
  for (const group of groups) {
    const byKey = new Map<string, number[]>();
    for (const index of group) {
      const k = await key(index);
      const known = byKey.get(k);
      if (known) known.push(index);
      else byKey.set(k, [index]);
    }
    for (const indices of byKey.values()) if (indices.length > 1) result.push(indices);
  }
  return result;
}

async function digest(
  tensor: DuplicateCandidate,
  ranges: Iterable<readonly [start: number, end: number]>,
): Promise<string> {
  const hash = createHash('sha256');
  for (const [start, end] of ranges) hash.update(await tensor.read(start, end));
  return hash.digest('hex');
}

function sampleOf({ lengthBytes }: DuplicateCandidate): [number, number] {
  const start = Math.floor((lengthBytes - SAMPLE_BYTES) / 2);
  return [start, start + SAMPLE_BYTES];
}

function* blocksOf({ lengthBytes }: DuplicateCandidate): Generator<[number, number]> {
  for (let start = 0; start < lengthBytes; start += BLOCK_BYTES)
    yield [start, Math.min(lengthBytes, start + BLOCK_BYTES)];
}
