import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll } from 'vitest';

export interface TestTensor {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data: Uint8Array;
}

/** A safetensors file from a header as text (or bytes), which may be as wrong as a test wants, and its data. */
export function rawSafetensors(header: string | Uint8Array, data: Uint8Array = new Uint8Array()): Uint8Array {
  const json = Buffer.from(header);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, data]);
}

/** A well-formed safetensors file, written without the writer under test. */
export function safetensors(tensors: readonly TestTensor[], metadata?: Record<string, string>): Uint8Array {
  let offset = 0;
  const entries = metadata ? [`"__metadata__":${JSON.stringify(metadata)}`] : [];
  for (const { name, dtype, shape, data } of tensors) {
    const end = offset + data.length;
    entries.push(
      `${JSON.stringify(name)}:{"dtype":"${dtype}","shape":${JSON.stringify(shape)},"data_offsets":[${offset},${end}]}`,
    );
    offset = end;
  }
  return rawSafetensors(`{${entries.join(',')}}`, Buffer.concat(tensors.map(({ data }) => data)));
}

/** An F32 tensor of the given values. */
export function f32(name: string, shape: readonly number[], values: ArrayLike<number>): TestTensor {
  return { name, dtype: 'F32', shape, data: new Uint8Array(Float32Array.from(values).buffer) };
}

/** Bytes in memory as a source that notes every range read from it. */
export class CountingSource {
  readonly ranges: [number, number][] = [];
  closed = false;
  constructor(
    readonly name: string,
    private readonly bytes: Uint8Array,
    readonly isLocal = false,
  ) {}
  get byteLength() {
    return this.bytes.length;
  }
  get bytesRead() {
    return this.ranges.reduce((total, [start, end]) => total + end - start, 0);
  }
  async read(start: number, end: number) {
    if (!(start >= 0 && start <= end && end <= this.bytes.length)) throw new Error(`read of ${start}-${end}`);
    this.ranges.push([start, end]);
    return new Uint8Array(this.bytes.subarray(start, end)); // A copy: slices of a Buffer are not.
  }
  async close() {
    this.closed = true;
  }
}

/** A new folder with these files (names may have folders in them), removed when the test file is done. */
export function folder(files: Readonly<Record<string, string | Uint8Array>> = {}): string {
  const path = mkdtempSync(join(tmpdir(), 'weightpress-test-'));
  folders.push(path);
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(path, name)), { recursive: true });
    writeFileSync(join(path, name), content);
  }
  return path;
}

const folders: string[] = [];
afterAll(() => {
  for (const path of folders.splice(0)) rmSync(path, { recursive: true, force: true });
});

/** Numbers in [0, 1) from a seed: Marsaglia's xorshift32. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}
