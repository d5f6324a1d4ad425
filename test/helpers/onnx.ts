import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { compress, decompress, inspect } from '../../src/index.js';
import { fixture } from './fixtures.js';
import { folder } from './safetensors.js';

/** A field of a message: a number is a varint, a list a message, bytes and texts have a length, which may be as wrong as a test wants. */
export type Field = readonly [number: number, value: number | string | Uint8Array | Field[], length?: number];

const varint = (value: number): number[] =>
  value < 128 ? [value] : [(value % 128) + 128, ...varint(Math.floor(value / 128))];

/** Protocol buffers, written without the writer of the project. */
export function message(fields: readonly Field[]): Buffer {
  return Buffer.concat(
    fields.flatMap(([number, value, length]) => {
      if (typeof value === 'number') return [Buffer.from([...varint(number * 8), ...varint(value)])];
      const bytes = Array.isArray(value) ? message(value as Field[]) : Buffer.from(value as Uint8Array);
      return [Buffer.from([...varint(number * 8 + 2), ...varint(length ?? bytes.length)]), bytes];
    }),
  );
}

/** An initializer of float32. */
export const initializer = (name: string, shape: readonly number[], data: Uint8Array): Field => [
  5,
  [...shape.map((n): Field => [1, n]), [2, 1], [8, name], [9, data]],
];

/** An initializer of float32 in another file. */
export function external(name: string, shape: readonly number[], places: Record<string, string>): Field {
  const entries = Object.entries(places).map(([key, value]): Field => [13, [[1, key], [2, value]]]); // biome-ignore format: pairs
  return [5, [...shape.map((n): Field => [1, n]), [2, 1], [8, name], ...entries, [14, 1]]];
}

/** A file of ONNX with these fields in its graph. */
export const onnx = (...graph: Field[]): Buffer =>
  message([[1, 8], [2, 'test'], [7, [[2, 'main'], ...graph]], [8, [[2, 17]]]]); // biome-ignore format: fields

/** Bytes of float32 weights. */
export function floats(count: number, random: () => number): Uint8Array {
  const gaussian = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  return new Uint8Array(Float32Array.from({ length: count }, () => 0.02 * gaussian()).buffer);
}

/** What the onnx package reads in a file. */
export interface Expected {
  readonly name: string;
  readonly type: string;
  readonly shape: readonly number[];
  readonly sha256?: string;
}

export const ONNX = fixture('onnx');
export const EXPECTED: Readonly<Record<string, readonly Expected[]>> = JSON.parse(
  readFileSync(join(ONNX, 'expected.json'), 'utf8'),
);

/** Compresses and restores; returns the .wpk, its summary, and the restored files by name. */
export async function roundTrip(path: string) {
  const place = folder();
  const [wpk, restored] = [join(place, 'm.wpk'), join(place, 'out')];
  await compress(path, wpk, { threads: 0 });
  await decompress(wpk, restored, { threads: 0 });
  return { wpk, summary: await inspect(wpk), files: filesIn(restored) };
}

/** All files of a folder, by name. */
export function filesIn(path: string): Record<string, Buffer> {
  const names = readdirSync(path, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return Object.fromEntries(
    names
      .map(({ parentPath, name }) => join(parentPath, name))
      .sort()
      .map((file) => [file.slice(path.length + 1), readFileSync(file)]),
  );
}
