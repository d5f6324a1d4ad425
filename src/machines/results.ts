import type { Packed, PackedArray } from '../stores/checked.js';
import { packedPieces, readPacked } from '../stores/checked.js';
import type { Store } from '../stores/store.js';

/** What a job leaves in the store. */
export interface Result {
  readonly header: Packed['header'];
  readonly arrays?: readonly PackedArray[] | undefined;
}

/** Returns the folder of what a job has written. */
export const folderOf = (kind: string, key: string) => `${kind}/${key}`;

/** Returns the key of a job's result. It is written last: with it, all is there that the job writes. */
export const resultOf = (kind: string, key: string) => `${folderOf(kind, key)}/result`;

/** Writes a job's result, unless another worker was first. */
export async function writeResult(store: Store, kind: string, key: string, { header, arrays = [] }: Result) {
  await store.write(resultOf(kind, key), packedPieces(header, arrays));
}

/** Reads a job's result. @throws {InputError} when there is none. @throws {IntegrityError} when it is damaged. */
export function readResult(store: Store, kind: string, key: string, signal?: AbortSignal): Promise<Packed> {
  return readPacked(store, resultOf(kind, key), signal);
}

/** Returns whether a job is done. */
export async function hasResult(store: Store, kind: string, key: string): Promise<boolean> {
  return (await store.size(resultOf(kind, key))) !== undefined;
}

/** Removes what a job has written, its result first. */
export async function removeResult(store: Store, kind: string, key: string): Promise<void> {
  await store.remove(resultOf(kind, key));
  for await (const object of store.list(`${folderOf(kind, key)}/`)) await store.remove(object.key);
}
