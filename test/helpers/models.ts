import { copyFileSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { safetensors, type TestTensor } from './safetensors.js';

/** f32 values rounded to nearest even: as elements of the narrower type, and as the f32 values that those are. */
export function narrow(values: Float32Array, dtype: 'BF16' | 'F16') {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const narrowed = new Uint16Array(values.length);
  const widened = new Float32Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const [code, value] = dtype === 'BF16' ? toBf16(bits[i]!) : toF16(values[i]!, bits[i]!);
    narrowed[i] = code;
    widened[i] = value;
  }
  return { narrowed: new Uint8Array(narrowed.buffer), widened };
}

function toBf16(bits: number): [code: number, value: number] {
  const code = (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
  return [code, new Float32Array(Uint32Array.of(code * 2 ** 16).buffer)[0]!];
}

/** Of finite values that do not round to infinity. */
function toF16(value: number, bits: number): [code: number, value: number] {
  const exponent = Math.max(-14, ((bits >>> 23) & 255) - 127);
  const step = 2 ** (exponent - 10);
  const exact = Math.abs(value) / step;
  const rounded = exact % 1 === 0.5 ? 2 * Math.round(exact / 2) : Math.round(exact);
  const sign = bits >>> 31;
  return [sign * 2 ** 15 + (exponent + 14) * 2 ** 10 + rounded, (sign ? -1 : 1) * rounded * step];
}

/** An n by n matrix: one where a row may see a column, of its own and the `window` - 1 before; else zero. */
export function causalMask(n: number, window: number, dtype: string): Uint8Array {
  const one = { U8: [1], BOOL: [1], F32: [0, 0, 0x80, 0x3f], F16: [0, 0x3c], I64: [1, 0, 0, 0, 0, 0, 0, 0] }[
    dtype
  ]!;
  const bytes = new Uint8Array(n * n * one.length);
  for (let row = 0; row < n; row++)
    for (let column = Math.max(0, row - window + 1); column <= row; column++)
      bytes.set(one, (row * n + column) * one.length);
  return bytes;
}

/** Copies a model of one file in f32 from folder to folder, its tensors rounded to `dtype`. */
export function copyModelAs(dtype: 'F32' | 'BF16' | 'F16', from: string, to: string): void {
  for (const name of readdirSync(from)) copyFileSync(join(from, name), join(to, name));
  if (dtype === 'F32') return;
  const file = readFileSync(join(from, 'model.safetensors'));
  const start = 8 + Number(file.readBigUInt64LE());
  const header: Record<string, { shape: number[]; data_offsets: [number, number] }> = JSON.parse(
    file.toString('utf8', 8, start),
  );
  const tensors = Object.entries(header)
    .filter(([name]) => name !== '__metadata__')
    .map(([name, { shape, data_offsets }]): TestTensor => {
      const bytes = Uint8Array.from(file.subarray(start + data_offsets[0], start + data_offsets[1]));
      return { name, dtype, shape, data: narrow(new Float32Array(bytes.buffer), dtype).narrowed };
    });
  writeFileSync(join(to, 'model.safetensors'), safetensors(tensors, { format: 'pt' }));
}
