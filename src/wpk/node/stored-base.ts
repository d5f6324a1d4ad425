import { sha256 } from '../../io/node/sha256.js';
import type { StoredBase, TensorBase } from '../base.js';

/** Returns what a directory says of its base, from what its tensors say; undefined if none of them needs it. */
export function storedBase(
  name: string,
  tensors: readonly ({ readonly base?: TensorBase | undefined } | undefined)[],
): StoredBase | undefined {
  const digests = tensors.flatMap((tensor) => tensor?.base?.sha256 ?? []);
  return digests.length ? { name, sha256: sha256(Buffer.from(digests.join(''), 'hex')) } : undefined;
}
