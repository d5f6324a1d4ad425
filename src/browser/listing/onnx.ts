import { guessRole } from '../../architectures/unknown.js';
import type { ByteSource } from '../../core/byte-source.js';
import { InputError } from '../../core/errors.js';
import { sumOf } from '../../core/sum.js';
import { type OnnxHeader, readOnnx } from '../../models/onnx/header.js';
import type { OnnxTensor } from '../../models/onnx/tensor.js';
import type { Listing } from './listed.js';

/** Lists an ONNX file: its initializers and constants. @throws {InputError} for what is not ONNX. */
export async function listOnnx(source: ByteSource): Promise<Listing> {
  const header = await readOnnx(source);
  const outside = new Set(header.tensors.flatMap(({ external = [] }) => external));
  return {
    format: 'ONNX',
    metadata: new Map([...header.metadata, ...operatorsOf(header)]),
    ...(outside.size && {
      warning: `The elements of some tensors are in ${outside.size === 1 ? [...outside][0] : `${outside.size} other files`}, beside this file; they are listed, but not read.`,
    }),
    tensors: header.tensors.map((tensor) => ({
      name: tensor.name,
      dtype: tensor.type,
      shape: tensor.shape,
      role: guessRole(tensor),
      bytes: tensor.lengthBytes,
      file: source.name,
      ...(tensor.external !== undefined && { note: `in ${tensor.external}` }),
      open: () => elementsOf(tensor, source),
    })),
  };
}

function elementsOf({ name, type, dtype, shape, start, external }: OnnxTensor, source: ByteSource) {
  const place = { file: source.name, tensor: name };
  if (external !== undefined)
    throw new InputError(`its elements are in ${external}, which is another file`, place);
  if (dtype === undefined) throw new InputError(`elements of ${type} are not read`, place);
  if (start === undefined) throw new InputError('its elements are coded one by one, and not read', place);
  return {
    name,
    dtype,
    shape,
    read: (from: number, to: number, signal?: AbortSignal) => source.read(start + from, start + to, signal),
  };
}

/** Returns the number of nodes by operator, the most frequent first. */
function operatorsOf({ operators }: OnnxHeader): [string, string][] {
  const sorted = [...operators].sort(([, a], [, b]) => b - a);
  const total = sumOf(sorted, ([, count]) => count);
  const listed = sorted.map(([operator, count]) => `${operator} ${count}`).join(', ');
  return total ? [['nodes', `${total}: ${listed}`]] : [];
}
