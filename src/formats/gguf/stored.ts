import { concatenate } from '../../bytes.js';
import { InputError } from '../../errors.js';
import type { ByteSource } from '../../io/source.js';
import { isDtype } from '../dtype.js';
import type { StoredTensor } from '../safetensors.js';
import { type DirectoryModel, StoredModel } from '../stored-model.js';
import type { Config } from './family.js';
import type { GgufHeader, GgufTensor } from './header.js';
import type { MappedName } from './names.js';

/** Bytes of a file that no tensor holds: metadata with a tokenizer have some MB. */
const MOST_HEADER_BYTES = 2 ** 28;

/**
 * A GGUF file as it lies: tensors in the order of their bytes, quantised ones as rows of bytes that are a block each, and all other
 * bytes as its header. To be compressed without being decoded, and restored bit by bit.
 * @param rename a tensor's name on the Hub, by which its role is told.
 * @throws {InputError} when there is more between the tensors than a header can be.
 */
export async function storedGguf(
  id: string,
  name: string,
  { tensors: declared }: GgufHeader,
  source: ByteSource,
  config: Config | undefined,
  rename?: (name: string) => MappedName | undefined,
): Promise<DirectoryModel> {
  const tensors = declared
    .map((tensor) => asBytes(tensor, rename?.(tensor.name)?.name))
    .sort((a, b) => a.start - b.start || a.end - b.end);
  const edges = [0, ...tensors.flatMap(({ start, end }) => [start, end]), source.byteLength];
  const between: number[] = [];
  const parts: Uint8Array[] = [];
  for (let i = 0; i < edges.length; i += 2) {
    const [start, end] = [edges[i]!, edges[i + 1]!];
    between.push(end - start);
    if (between.reduce((sum, length) => sum + length, 0) > MOST_HEADER_BYTES)
      throw new InputError(`has over ${MOST_HEADER_BYTES} bytes that no tensor holds`, { file: id });
    parts.push(await source.read(start, end));
  }
  const headerBytes = concatenate(parts);
  return new StoredModel({
    id,
    kind: 'gguf',
    config,
    sideFiles: [],
    weightSources: [{ name, source, headerBytes, tensors, between }],
  });
}

function asBytes({ name, type, shape, start, end }: GgufTensor, onHub = name): StoredTensor {
  const place = { name, start, end, lengthBytes: end - start };
  if (isDtype(type.name)) return { ...place, dtype: type.name, shape };
  const rows = (end - start) / type.blockBytes;
  const lengthBytes = shape.reduce((product, dimension) => product * dimension, 4);
  return {
    ...place,
    dtype: 'U8',
    shape: [rows, type.blockBytes],
    holds: { name: onHub, dtype: 'F32', shape, lengthBytes, encoding: type.name },
  };
}
