import { guessRole } from '../../architectures/unknown.js';
import type { ByteSource } from '../../core/byte-source.js';
import { lastName } from '../../core/file-name.js';
import { sumOf } from '../../core/sum.js';
import { OnnxElements, shortened } from '../../models/onnx/elements.js';
import type { OpenBeside } from '../../models/onnx/external.js';
import { externalName, locationsOf } from '../../models/onnx/external.js';
import { type OnnxHeader, readOnnx } from '../../models/onnx/header.js';
import type { Listing } from './listed.js';

/**
 * Lists an ONNX file: its initializers and constants.
 * @param beside opens files in its folder, which the caller closes; without it, elements in other files are not read.
 * @throws {InputError} for what is not ONNX.
 */
export async function listOnnx(source: ByteSource, beside?: OpenBeside): Promise<Listing> {
  const header = await readOnnx(source);
  const outside = new Map<string, ByteSource>();
  const unread: string[] = [];
  for (const location of locationsOf(header.tensors)) {
    const file = externalName(lastName(source.name), location);
    const other = file === undefined ? undefined : await beside?.(file);
    if (other) outside.set(location, other);
    else unread.push(shortened(location));
  }
  const elements = new OnnxElements(source, outside);
  return {
    format: 'ONNX',
    metadata: new Map([...header.metadata, ...operatorsOf(header)]),
    ...(unread.length && {
      warning: `The elements of some tensors are in ${unread.length === 1 ? unread[0] : `${unread.length} other files`}, beside this file; they are listed, but not read.`,
    }),
    tensors: header.tensors.map((tensor) => ({
      name: tensor.name,
      dtype: tensor.type,
      shape: tensor.shape,
      role: guessRole(tensor),
      bytes: tensor.lengthBytes,
      file: source.name,
      ...(tensor.external && { note: `in ${shortened(tensor.external.location)}` }),
      open: () => elements.open(tensor),
    })),
  };
}

/** Returns the number of nodes by operator, the most frequent first. */
function operatorsOf({ operators }: OnnxHeader): [string, string][] {
  const sorted = [...operators].sort(([, a], [, b]) => b - a);
  const total = sumOf(sorted, ([, count]) => count);
  const listed = sorted.map(([operator, count]) => `${operator} ${count}`).join(', ');
  return total ? [['nodes', `${total}: ${listed}`]] : [];
}
