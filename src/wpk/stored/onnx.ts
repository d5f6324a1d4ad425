import { type OnnxTensor, plainElements } from '../../models/onnx/tensor.js';
import type { StoredTensor } from '../../models/safetensors/header.js';

/** Shorter tensors stay bytes between the others: a frame, a digest and an entry in the directory would take more than they save. */
const MIN_TENSOR_BYTES = 1024;

/** Returns the tensors of an ONNX file whose elements are in it, in one piece, with their positions. */
export function onnxTensors(tensors: readonly OnnxTensor[], fileBytes: number): StoredTensor[] {
  return apart(
    tensors.flatMap((tensor) => placed(tensor, tensor.start)),
    fileBytes,
  );
}

/** Returns the tensors whose elements are in a file beside their ONNX file. @param tensors those that refer to it. */
export function externalTensors(tensors: readonly OnnxTensor[], fileBytes: number): StoredTensor[] {
  const found = tensors.flatMap((tensor) => {
    const { offset, lengthBytes } = tensor.external ?? {};
    return lengthBytes === tensor.lengthBytes ? placed(tensor, offset) : [];
  });
  return apart(found, fileBytes);
}

function placed(tensor: OnnxTensor, start: number | undefined): StoredTensor[] {
  const { name, lengthBytes } = tensor;
  const plain = plainElements(tensor);
  if (!plain || start === undefined || lengthBytes < MIN_TENSOR_BYTES) return [];
  return [{ name, ...plain, lengthBytes, start, end: start + lengthBytes }];
}

/**
 * Returns tensors that lie apart from each other in the file, in order of their bytes. Of those that share bytes, as tied weights do, the first and
 * longest is taken; others, and those beyond the end, are left out: their bytes are stored in any case.
 */
function apart(tensors: readonly StoredTensor[], fileBytes: number): StoredTensor[] {
  const sorted = [...tensors].sort((a, b) => a.start - b.start || b.end - a.end);
  const names = new Set<string>();
  let covered = 0;
  return sorted.filter(({ name, start, end }) => {
    if (start < covered || end > fileBytes || names.has(name)) return false;
    covered = end;
    names.add(name);
    return true;
  });
}
