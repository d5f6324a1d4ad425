import { InputError } from '../../core/errors.js';
import { isPlainPath } from '../../core/file-name.js';
import { isPlainObject, kindOf, parseJsonObject, quote } from '../../core/json.js';

/** Name of the file that maps tensors to shards. */
export const INDEX_NAME = 'model.safetensors.index.json';
/** Name of the same file for PyTorch shards. */
export const TORCH_INDEX_NAME = 'pytorch_model.bin.index.json';

/**
 * Parses an index to a map from tensor names to shards.
 * @throws {InputError} when it is malformed, or a shard's path leaves the folder.
 */
export function parseShardIndex(
  bytes: Uint8Array,
  file: string,
  extension = '.safetensors',
): Map<string, string> {
  const map = parseJsonObject(bytes, file).value.weight_map;
  if (!isPlainObject(map))
    throw new InputError(`weight_map: expected an object, found ${kindOf(map)}`, { file });
  const shards = new Map<string, string>();
  for (const [tensor, shard] of Object.entries(map)) {
    if (!isPlainPath(shard) || !shard.endsWith(extension))
      throw new InputError(
        `weight_map: expected the path of a ${extension} file in this folder, found ${quote(shard)}`,
        { file, tensor },
      );
    shards.set(tensor, shard);
  }
  if (shards.size === 0) throw new InputError('weight_map names no tensor', { file });
  return shards;
}

/**
 * Compares the index with the shards.
 * @throws {InputError} for a tensor that is missing or in another shard than the index says.
 */
export function checkShards(
  index: ReadonlyMap<string, string>,
  shards: readonly { readonly name: string; readonly tensors: readonly { readonly name: string }[] }[],
  file: string,
): void {
  const found = new Map(shards.flatMap(({ name, tensors }) => tensors.map((tensor) => [tensor.name, name])));
  for (const [tensor, shard] of index) {
    const where = found.get(tensor);
    if (where !== shard)
      throw new InputError(`expected in ${shard}, found ${where ? `in ${where}` : 'in no shard'}`, {
        file,
        tensor,
      });
  }
}
