import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { DTYPE_BYTES } from '../src/core/dtype.js';
import { openFolder } from '../src/models/folder/open.js';
import { LocalFolder } from '../src/models/node/local.js';
import { parseHeader, readSafetensors } from '../src/models/safetensors/header.js';
import { writeHeader } from '../src/models/safetensors/writer.js';
import { FileBackedModel, openWeightSource } from '../src/models/stored-model.js';
import { openModel } from '../src/open/open.js';
import { FIXTURES } from './helpers/fixtures.js';
import {
  CountingSource,
  folder,
  rawSafetensors,
  safetensors,
  seededRandom,
  type TestTensor,
} from './helpers/safetensors.js';

const entry = (dtype: string, shape: unknown, offsets: unknown) =>
  JSON.stringify({ dtype, shape, data_offsets: offsets });
const data = (length: number) => Uint8Array.from({ length }, (_, i) => i);
const oneOfEach: TestTensor[] = Object.entries(DTYPE_BYTES).map(([dtype, width]) => ({
  name: `a.${dtype}`,
  dtype,
  shape: [2, 3],
  data: data(6 * width),
}));
const lengthField = (length: bigint) => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(length);
  return bytes;
};

describe('what is read', () => {
  it('gives all 15 dtypes back, byte for byte', async () => {
    const path = join(folder({ 'm.safetensors': safetensors(oneOfEach) }), 'm.safetensors');
    const model = await openModel(path);
    expect(model.kind).toBe('safetensors');
    expect(model.tensors).toHaveLength(15);
    for (const { name, dtype, shape, data } of oneOfEach) {
      const tensor = model.tensors.find((candidate) => candidate.name === name);
      expect(tensor).toMatchObject({ dtype, shape, lengthBytes: data.length });
      expect(await model.readTensor(name)).toEqual(data);
    }
    await model.close();
  });

  it('reads the header alone when opening and then only the range asked for', async () => {
    const file = safetensors([{ name: 'w', dtype: 'U8', shape: [100_000], data: data(100_000) }]);
    const source = new CountingSource('m.safetensors', file);
    const weights = await openWeightSource('m.safetensors', source);
    const headerBytes = file.length - 100_000;
    expect(source.bytesRead).toBe(8 + headerBytes);
    expect(weights.headerBytes).toEqual(new Uint8Array(file.slice(0, headerBytes)));
    const model = new FileBackedModel({
      id: 'm',
      kind: 'safetensors',
      config: undefined,
      sideFiles: [],
      weightSources: [weights],
    });
    source.ranges.length = 0;
    expect(await model.readTensor('w', 1000, 1010)).toEqual(data(1010).slice(1000));
    expect(source.ranges).toEqual([[headerBytes + 1000, headerBytes + 1010]]);
    await expect(model.readTensor('w', 99_999, 100_001)).rejects.toThrow(/"w".*outside the tensor of 100000/);
    await expect(model.readTensor('x')).rejects.toThrow(/no such tensor/);
    expect(source.ranges).toHaveLength(1);
    await model.close();
    expect(source.closed).toBe(true);
  });

  it('orders tensors by their bytes, and empty ones as the header has them', async () => {
    const header = `{"late":${entry('U8', [2], [2, 4])},"10":${entry('F32', [0], [2, 2])},"9":${entry('F32', [3, 0], [2, 2])},"early":${entry('U8', [2], [0, 2])}}`;
    const { tensors } = await readSafetensors(new CountingSource('m', rawSafetensors(header, data(4))));
    expect(tensors.map(({ name }) => name)).toEqual(['early', '10', '9', 'late']);
  });

  it('takes any name, __proto__ included, without polluting anything', async () => {
    const names = ['__proto__', 'constructor', '', 'Ω "quoted"\n', '0'];
    const tensors = names.map((name) => ({ name, dtype: 'U8', shape: [], data: data(1) }));
    const file = safetensors(tensors);
    const read = await readSafetensors(new CountingSource('m', file));
    expect(read.tensors.map(({ name }) => name)).toEqual(names);
    const polluting = rawSafetensors('{"__metadata__":{"__proto__":"x"}}');
    const { metadata } = await readSafetensors(new CountingSource('m', polluting));
    expect(Object.keys(metadata)).toEqual(['__proto__']);
    expect(({} as Record<string, unknown>).dtype).toBeUndefined();
  });

  it('accepts a file without tensors, and padding around the JSON', async () => {
    const { tensors, metadata } = await readSafetensors(
      new CountingSource('m', rawSafetensors('{"__metadata__":{"format":"pt"}}       ')),
    );
    expect(tensors).toEqual([]);
    expect(metadata.format).toBe('pt');
  });
});

describe('what is refused, in one line that names the file and the problem', () => {
  const w = entry('F32', [2], [0, 8]);
  const malformed: Record<string, [file: Uint8Array, problem: RegExp]> = {
    'an empty file': [new Uint8Array(), /at least 8 bytes.*found 0/],
    'a file of 7 bytes': [data(7), /at least 8 bytes.*found 7/],
    'a header longer than the file': [
      Buffer.concat([lengthField(64n), Buffer.from('{}')]),
      /header ends at byte 72.*file of 10/,
    ],
    'a header over the limit': [lengthField(100_000_001n), /100000001 is over the limit of 100000000/],
    'a header length of 2^64 - 1': [lengthField(2n ** 64n - 1n), /over the limit/],
    'JSON cut inside a string': [rawSafetensors('{"w'), /not JSON/],
    'no JSON': [rawSafetensors('{"w":'), /not JSON/],
    'no header at all': [rawSafetensors(''), /not JSON/],
    'no UTF-8': [rawSafetensors(Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x7d)), /not UTF-8/],
    'a byte order mark': [rawSafetensors('\ufeff{}'), /not JSON/],
    'an array': [rawSafetensors('[]'), /expected a JSON object, found an array/],
    'a number': [rawSafetensors('7'), /expected a JSON object, found a number/],
    'the same tensor twice': [rawSafetensors(`{"w":${w},"w":${w}}`, data(8)), /duplicate JSON key "w"/],
    'the same tensor twice, spelt differently': [
      rawSafetensors(`{"w":${w},"\\u0077" :${w}}`, data(8)),
      /duplicate JSON key/,
    ],
    'the same field twice': [
      rawSafetensors(`{"w":{"dtype":"F32","dtype":"I32","shape":[2],"data_offsets":[0,8]}}`, data(8)),
      /duplicate JSON key "dtype"/,
    ],
    'JSON nested too deep': [
      rawSafetensors(`{"w":${'['.repeat(5000)}${']'.repeat(5000)}}`),
      /nested deeper than 32/,
    ],
    'a tensor that is no object': [
      rawSafetensors('{"w":3}'),
      /tensor "w".*expected an object, found a number/,
    ],
    'a dtype of a million letters': [
      rawSafetensors(`{"w":${entry('F'.repeat(1e6), [2], [0, 1])}}`, data(1)),
      /^.{0,400}$/,
    ],
    'a shape of a million dimensions': [
      rawSafetensors(`{"w":${entry('F32', Array(1e6).fill(1), [0, 1])}}`, data(1)),
      /^.{0,400}$/,
    ],
    'complex numbers of the wrong length': [
      rawSafetensors(`{"w":${entry('C64', [2], [0, 8])}}`, data(8)),
      /tensor "w".*C64 of shape \[2\] does not match 8 bytes/,
    ],
    'no dtype': [
      rawSafetensors('{"w":{"shape":[],"data_offsets":[0,1]}}', data(1)),
      /dtype: expected the name of a type, found nothing/,
    ],
    'a shape that is no array': [
      rawSafetensors(`{"w":${entry('U8', 4, [0, 4])}}`, data(4)),
      /shape.*found 4/,
    ],
    'a negative dimension': [
      rawSafetensors(`{"w":${entry('U8', [-1], [0, 4])}}`, data(4)),
      /shape.*found \[-1\]/,
    ],
    'a fractional dimension': [
      rawSafetensors(`{"w":${entry('U8', [1.5], [0, 4])}}`, data(4)),
      /shape.*found \[1\.5\]/,
    ],
    'a dimension over 2^53': [
      rawSafetensors('{"w":{"dtype":"U8","shape":[9007199254740993],"data_offsets":[0,4]}}', data(4)),
      /shape.*non-negative integers/,
    ],
    'a product over 2^53': [
      rawSafetensors(`{"w":${entry('F32', [2 ** 27, 2 ** 27], [0, 4])}}`, data(4)),
      /too large: over 2\^53/,
    ],
    'a shape that does not match the length': [
      rawSafetensors(`{"w":${entry('F32', [3], [0, 8])}}`, data(8)),
      /expected 12 bytes for F32 of shape \[3\], data_offsets give 8/,
    ],
    'no offsets': [
      rawSafetensors('{"w":{"dtype":"U8","shape":[1]}}', data(1)),
      /data_offsets.*found nothing/,
    ],
    'three offsets': [
      rawSafetensors(`{"w":${entry('U8', [1], [0, 1, 2])}}`, data(1)),
      /data_offsets.*\[0,1,2\]/,
    ],
    'a negative offset': [
      rawSafetensors(`{"w":${entry('U8', [1], [-1, 0])}}`, data(1)),
      /data_offsets.*\[-1,0\]/,
    ],
    'offsets the wrong way round': [
      rawSafetensors(`{"w":${entry('U8', [1], [1, 0])}}`, data(1)),
      /start is after end: \[1,0\]/,
    ],
    'data beyond the file': [
      rawSafetensors(`{"w":${w}}`, data(7)),
      /tensor "w".*beyond the file of \d+ bytes/,
    ],
    'tensors that overlap': [
      rawSafetensors(`{"a":${w},"b":${entry('F32', [2], [4, 12])}}`, data(12)),
      /tensor "b".*overlaps/,
    ],
    'two tensors at one place': [rawSafetensors(`{"a":${w},"b":${w}}`, data(8)), /tensor "b".*overlaps/],
    'a hole': [
      rawSafetensors(`{"a":${w},"b":${entry('F32', [2], [12, 20])}}`, data(20)),
      /tensor "b".*4 bytes before it belong to no tensor/,
    ],
    'a hole at the front': [
      rawSafetensors(`{"a":${entry('F32', [2], [4, 12])}}`, data(12)),
      /tensor "a".*hole/,
    ],
    'bytes after the last tensor': [rawSafetensors(`{"w":${w}}`, data(11)), /3 bytes after the last tensor/],
    'metadata that is no object': [rawSafetensors('{"__metadata__":[]}'), /__metadata__.*found an array/],
    'metadata that is not text': [
      rawSafetensors('{"__metadata__":{"step":3}}'),
      /__metadata__ "step".*found a number/,
    ],
  };

  it.each(Object.entries(malformed))('%s', async (_, [file, problem]) => {
    const path = join(folder({ 'bad.safetensors': file }), 'bad.safetensors');
    const error: Error = await openModel(path).then(
      () => expect.fail('was accepted'),
      (caught) => caught,
    );
    expect(error).toMatchObject({ name: 'InputError' });
    expect(error.message).toMatch(problem);
    expect(error.message).toContain(path);
    expect(error.message).not.toMatch(/[\r\n]/);
  });
});

describe('a type that is not computed with', () => {
  it.each([
    ['F4', [2], 1, 'U8', [1]],
    ['F8_E8M0', [3], 3, 'U8', [3]],
    ['F6_E2M3', [4], 3, 'U8', [3]],
    ['toString', [9], 2, 'U8', [2]],
    ['C64', [2, 3], 48, 'F32', [2, 3, 2]],
  ])('%s: is bytes of the length that its offsets tell', async (dtype, shape, length, stored, as) => {
    const file = rawSafetensors(`{"w":${entry(dtype, shape, [0, length])}}`, data(length));
    const { tensors } = await readSafetensors(new CountingSource('m', file));
    expect(tensors).toMatchObject([{ dtype: stored, shape: as, lengthBytes: length }]);
    expect(tensors[0]!.holds).toMatchObject({ shape, encoding: dtype });
  });
});

describe('a damaged header', () => {
  it('is read or refused, and never anything else: 20,000 damages, seed 1', async () => {
    const file = safetensors(oneOfEach.slice(0, 4), { format: 'pt' });
    const random = seededRandom(1);
    const pick = (below: number) => Math.floor(random() * below);
    const spare = '{}[],:"\\0123456789-eE. _abtn'.split('').map((character) => character.charCodeAt(0));
    const outcomes = { read: 0, refused: 0 };
    for (let round = 0; round < 20_000; round++) {
      let bytes = new Uint8Array(file);
      for (let edits = 1 + pick(3); edits > 0; edits--) {
        const at = pick(bytes.length);
        const byte = random() < 0.8 ? spare[pick(spare.length)]! : pick(256);
        bytes[at] = byte;
        if (random() < 0.1) bytes = bytes.slice(0, at);
      }
      await readSafetensors(new CountingSource('m', bytes)).then(
        () => outcomes.read++,
        (error) => {
          if (error.name !== 'InputError') throw error;
          outcomes.refused++;
        },
      );
    }
    expect(outcomes.read).toBeGreaterThan(100);
    expect(outcomes.refused).toBeGreaterThan(100);
  });

  it('full of empty arrays is refused before it is parsed', async () => {
    const header = `{"w":[${'[],'.repeat(10_000_000)}[]]}`;
    await expect(readSafetensors(new CountingSource('m', rawSafetensors(header)))).rejects.toThrow(
      /m, bytes .*over 10000000 objects, arrays and keys/,
    );
  });
});

describe('what is written', () => {
  it('reads back the same, aligned to 8 bytes', async () => {
    const tensors = oneOfEach.map(({ data, ...tensor }) => ({
      ...tensor,
      lengthBytes: data.length,
    })) as never[];
    const { headerBytes, tensors: placed, fileBytes } = writeHeader(tensors, { format: 'pt', note: 'ü' });
    expect(headerBytes.length % 8).toBe(0);
    const file = Buffer.concat([headerBytes, ...oneOfEach.map(({ data }) => data)]);
    expect(fileBytes).toBe(file.length);
    const read = await readSafetensors(new CountingSource('m', file));
    expect(read.tensors).toEqual(placed);
    expect(read.metadata).toEqual({ format: 'pt', note: 'ü' });
  });

  it('keeps names that objects would reorder or swallow', async () => {
    const tensors = ['2', '1', '__proto__'].map(
      (name) => ({ name, dtype: 'U8', shape: [0], lengthBytes: 0 }) as const,
    );
    const { headerBytes } = writeHeader(tensors);
    const read = await readSafetensors(new CountingSource('m', headerBytes));
    expect(read.tensors.map(({ name }) => name)).toEqual(['2', '1', '__proto__']);
  });

  it('refuses names the format cannot hold', () => {
    const tensor = { name: 'a', dtype: 'U8', shape: [], lengthBytes: 1 } as const;
    expect(() => writeHeader([tensor, tensor])).toThrow(/tensor "a".*duplicate name/);
    expect(() => writeHeader([{ ...tensor, name: '__metadata__' }])).toThrow(/duplicate name/);
  });

  it('spells a header as the reference implementation does', () => {
    const tensor = { name: 'w', dtype: 'F32', shape: [1, 2], lengthBytes: 8 } as const;
    const { headerBytes } = writeHeader([tensor], { format: 'pt' });
    const json = '{"__metadata__":{"format":"pt"},"w":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}}';
    expect(Buffer.from(headerBytes.slice(8)).toString()).toBe(json.padEnd(Math.ceil(json.length / 8) * 8));
  });
});

describe('a header that the reference implementation wrote', () => {
  it.each(readdirSync(FIXTURES))('is written the same, byte for byte: %s', async (name) => {
    const model = await openFolder(new LocalFolder(join(FIXTURES, name)));
    const { headerBytes, tensors, source } = model.weightSources[0]!;
    const { metadata } = parseHeader(headerBytes, source.byteLength, name);
    expect(writeHeader(tensors, metadata).headerBytes).toEqual(headerBytes);
    await model.close();
  });
});
