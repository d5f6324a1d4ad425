import { zipSync } from 'fflate';
import { raw } from './pickle.js';

const text = (value: string) => raw('X', new Uint8Array(Uint32Array.of(value.length).buffer), value);
const integer = (value: number) => raw('J', new Uint8Array(Int32Array.of(value).buffer));
const tuple = (...items: Uint8Array[]) => raw('(', ...items, 't');

/** A tensor of float32 with the strides of its storage. */
export interface CheckpointTensor {
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  readonly values: Float32Array;
}

/** What `torch.save` writes of a map of tensors, each with a storage of its own. @param extra operations that push one more key and value. */
export function checkpoint(
  tensors: Readonly<Record<string, CheckpointTensor>>,
  extra: Uint8Array = new Uint8Array(),
): Uint8Array {
  const files: Record<string, Uint8Array> = {};
  const entries = Object.entries(tensors).map(([name, { shape, strides, values }], i) => {
    files[`archive/data/${i}`] = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    const storage = tuple(
      text('storage'),
      raw('ctorch\nFloatStorage\n'),
      text(String(i)),
      text('cpu'),
      integer(values.length),
    );
    const sizes = [shape, strides].map((numbers) => tuple(...numbers.map(integer)));
    const hooks = raw('ccollections\nOrderedDict\n)R');
    const parts = tuple(raw(storage, 'Q'), integer(0), ...sizes, raw(0x89), hooks);
    return raw(text(name), 'ctorch._utils\n_rebuild_tensor_v2\n', parts, 'R');
  });
  files['archive/data.pkl'] = raw(0x80, 2, '}(', ...entries, extra, 'u.');
  return zipSync(files, { level: 0 });
}
