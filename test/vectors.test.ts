// The conformance files of spec/vectors/: what every reader must restore, and what it must refuse.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { inflateRawSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { DTYPE_BYTES } from '../src/core/dtype.js';
import { isInputError } from '../src/core/errors.js';
import { decompress, inspect, verify } from '../src/index.js';
import { folder } from './helpers/safetensors.js';

interface Vector {
  readonly file: string;
  readonly bytes: number;
  readonly sha256: string;
}
interface Sound extends Vector {
  readonly about: string;
  /** The file beside it that it needs. */
  readonly base?: string;
  readonly files: readonly { readonly name: string; readonly bytes: number; readonly sha256: string }[];
  readonly emptyFolders: readonly string[];
  readonly tensors: readonly {
    readonly name: string;
    readonly dtype: string;
    readonly shape: readonly number[];
    readonly sha256?: string;
    readonly sameAs?: number;
  }[];
}
interface Malformed extends Vector {
  readonly rule: string;
  readonly when: 'open' | 'restore' | 'tensor';
}

const VECTORS = 'spec/vectors';
const list: { version: number; sound: Sound[]; malformed: Malformed[] } = JSON.parse(
  readFileSync(join(VECTORS, 'vectors.json'), 'utf8'),
);
const specification = readFileSync('spec/wpk-v1.md', 'utf8');

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
const path = ({ file }: Vector) => join(VECTORS, file);
const byName = (name: string) => list.sound.find(({ file }) => file === `${name}.wpk`)!;

/** Types and payloads of all frames of a sound file. */
function framesOf(vector: Vector) {
  const bytes = readFileSync(path(vector));
  const frames = [];
  for (let at = 16; at < bytes.length - 48; ) {
    const end = at + 16 + bytes.readUInt32LE(at + 4);
    frames.push({ type: bytes[at]!, payload: bytes.subarray(at + 16, end) });
    at = end;
  }
  return frames;
}

describe('spec/vectors', () => {
  it('lists every file, with its digest', () => {
    const listed = [...list.sound, ...list.malformed];
    expect(
      readdirSync(VECTORS)
        .filter((name) => name.endsWith('.wpk'))
        .sort(),
    ).toEqual(listed.map(({ file }) => file).sort());
    for (const vector of listed) {
      const bytes = readFileSync(path(vector));
      expect([vector.file, bytes.length, sha256(bytes)]).toEqual([vector.file, vector.bytes, vector.sha256]);
    }
  });

  it('has every type of frame, lossless mode, element type and transform', () => {
    const frames = list.sound.flatMap(framesOf);
    expect(new Set(frames.map(({ type }) => type))).toEqual(new Set([1, 2, 3, 4, 5, 6, 7]));
    const modes = framesOf(byName('modes')).filter(({ type }) => type === 4);
    expect(new Set(modes.map(({ payload }) => payload[8]))).toEqual(new Set([0, 1, 2, 3, 4, 5]));
    const others = (name: string) =>
      framesOf(byName(name))
        .filter(({ type }) => type === 4)
        .map(({ payload }) => payload[8]);
    expect(others('contexts')).toEqual([6, 6, 6, 6, 6]);
    expect(others('integers')).toEqual([7, 7, 8]);
    expect(others('patches')).toEqual([9, 9]);
    expect(others('shifted')).toEqual([10]);
    expect(new Set(others('difference'))).toEqual(new Set([32, 33]));
    const dtypes = byName('dtypes').tensors.map(({ dtype }) => dtype);
    expect(new Set(dtypes)).toEqual(new Set(Object.keys(DTYPE_BYTES)));
    const transforms = list.sound
      .filter(({ file }) => file.startsWith('transform-'))
      .map((vector) => framesOf(vector).find(({ type }) => type === 4)!.payload[0]);
    expect(new Set(transforms)).toEqual(new Set([0, 1, 2, 3, 4, 5, 6, 7]));
  });

  it('breaks rules of sections that the specification has', () => {
    for (const { rule } of list.malformed) expect(specification).toMatch(new RegExp(`^#+ ${rule}\\b`, 'm'));
  });

  it('is what the script makes', { tags: 'slow' }, () => {
    expect(execFileSync(process.execPath, ['scripts/vectors.js', '--check'], { encoding: 'utf8' })).toBe(
      'the same files\n',
    );
  });
});

describe('what must be restored', () => {
  it.each(list.sound)('$file: $about', async (vector) => {
    expect(await verify(path(vector), { threads: 0 })).toMatchObject({ good: true, problems: [] });
    const out = join(folder(), 'out');
    await decompress(path(vector), out, { threads: 0 });
    const names = readdirSync(out, { recursive: true, encoding: 'utf8' }).map((name) =>
      name.replaceAll('\\', '/'),
    );
    const isFile = (name: string) => statSync(join(out, name)).isFile();
    const restored = names
      .filter(isFile)
      .sort()
      .map((name) => {
        const bytes = readFileSync(join(out, name));
        return { name, bytes: bytes.length, sha256: sha256(bytes) };
      });
    expect(restored).toEqual(vector.files);
    const empty = names.filter((name) => !isFile(name) && readdirSync(join(out, name)).length === 0);
    expect(empty.sort()).toEqual(vector.emptyFolders);
    const { payload } = framesOf(vector).at(-1)!;
    expect(JSON.parse(inflateRawSync(payload).toString()).tensors).toMatchObject(vector.tensors);
  });
});

/** How a call is refused; undefined when it is not. */
async function refusal(call: Promise<unknown>): Promise<string | undefined> {
  try {
    await call;
    return undefined;
  } catch (error) {
    if (!isInputError(error)) throw error;
    return error.message;
  }
}

describe('what must be refused', () => {
  it.each(list.malformed)('$file ($rule), at $when', async (vector) => {
    const opened = await refusal(inspect(path(vector)));
    if (vector.when === 'open') expect(opened).toMatch(/\S/);
    else expect(opened).toBeUndefined();
    const out = join(folder(), 'out');
    const restored = await refusal(decompress(path(vector), out, { threads: 0 }));
    if (vector.when === 'tensor') expect(restored).toBeUndefined();
    else expect(restored).toMatch(/\S/);
    const verified = await verify(path(vector), { threads: 0 }).catch((error: unknown) => {
      if (!isInputError(error)) throw error;
      return { good: false };
    });
    expect(verified.good).toBe(false);
    if (vector.when !== 'tensor') expect(() => statSync(out)).toThrow();
  });
});
