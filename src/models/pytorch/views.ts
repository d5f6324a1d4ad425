import type { ByteSource } from '../../core/byte-source.js';
import { DTYPE_BYTES } from '../../core/dtype.js';
import type { VirtualTensor } from '../virtual.js';
import type { TorchTensor } from './tensors.js';

/**
 * Returns a view of a storage as a tensor that is read by ranges. Contiguous views are read directly; for others the whole span is read
 * once and the elements are gathered.
 * @param start returns the offset of the storage in the file.
 */
export function viewTensor(
  name: string,
  tensor: TorchTensor,
  source: ByteSource,
  start: () => Promise<number>,
): VirtualTensor {
  const { dtype, shape, offset, span } = tensor;
  const width = DTYPE_BYTES[dtype];
  const range = async (from: number, to: number, signal?: AbortSignal) => {
    const first = (await start()) + offset * width;
    return source.read(first + from, first + to, signal);
  };
  if (tensor.isContiguous) return { name, dtype, shape, read: range };
  let cached: WeakRef<Uint8Array> | undefined;
  return {
    name,
    dtype,
    shape,
    async read(from, to, signal) {
      const all = cached?.deref() ?? (await range(0, span * width, signal));
      cached = new WeakRef(all);
      return gather(tensor, all, width, from, to);
    },
  };
}

/** Returns bytes `from` to `to` (exclusive) of the elements in row-major order. */
function gather(
  { shape, strides }: TorchTensor,
  all: Uint8Array,
  width: number,
  from: number,
  to: number,
): Uint8Array {
  const bytes = new Uint8Array(to - from);
  const first = Math.floor(from / width);
  const position = new Array<number>(shape.length).fill(0);
  for (let i = shape.length - 1, rest = first; i >= 0; i--) {
    position[i] = rest % shape[i]!;
    rest = Math.floor(rest / shape[i]!);
  }
  let at = position.reduce((sum, index, i) => sum + index * strides[i]!, 0);
  for (let element = first; element * width < to; element++) {
    for (let byte = 0; byte < width; byte++) {
      const place = element * width + byte - from;
      if (place >= 0 && place < bytes.length) bytes[place] = all[at * width + byte]!;
    }
    for (let i = shape.length - 1; i >= 0; i--) {
      at += strides[i]!;
      position[i]!++;
      if (position[i]! < shape[i]!) break;
      at -= position[i]! * strides[i]!;
      position[i] = 0;
    }
  }
  return bytes;
}
