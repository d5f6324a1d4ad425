// Writes a safetensors file, tensor by tensor, in the memory of one chunk.
import { closeSync, openSync, writeSync } from 'node:fs';

/**
 * @param {string} path
 * @param {{ name: string, shape: number[] }[]} tensors in the order of the file
 * @param {(typeof import('./floats.js').DTYPES)['f32']} type
 * @param {(tensor: object) => Iterable<Float32Array>} draw a tensor's values, chunk by chunk
 * @returns {number} length of the file in bytes
 */
export function writeSafetensors(path, tensors, type, draw) {
  const header = { __metadata__: { format: 'pt' } };
  let end = 0;
  for (const { name, shape } of tensors) {
    const start = end;
    end += shape.reduce((product, dimension) => product * dimension, type.bytes);
    header[name] = { dtype: type.name, shape, data_offsets: [start, end] };
  }
  const text = new TextEncoder().encode(JSON.stringify(header));
  // Padded with spaces so that the data start at a multiple of 8.
  const head = new Uint8Array(8 + Math.ceil(text.length / 8) * 8).fill(0x20);
  new DataView(head.buffer).setBigUint64(0, BigInt(head.length - 8), true);
  head.set(text, 8);

  const file = openSync(path, 'w');
  try {
    writeAll(file, head);
    for (const tensor of tensors) for (const values of draw(tensor)) writeAll(file, type.narrow(values));
  } finally {
    closeSync(file);
  }
  return head.length + end;
}

function writeAll(file, bytes) {
  for (let done = 0; done < bytes.length; ) done += writeSync(file, bytes, done);
}
