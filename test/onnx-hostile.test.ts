// ONNX files that are wrong: refused as models in one line, and stored like any other file.
import { readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { ByteSource } from '../src/core/byte-source.js';
import type { Folder } from '../src/core/folder.js';
import { InputError, open } from '../src/index.js';
import { externalName } from '../src/models/onnx/external.js';
import { readOnnx } from '../src/models/onnx/header.js';
import { openOnnx } from '../src/models/onnx/model.js';
import { withExternalData } from '../src/models/onnx/with-data.js';
import { readContents } from '../src/wpk/stored/contents.js';
import { weightpress } from './helpers/cli.js';
import {
  external,
  type Field,
  filesIn,
  floats,
  initializer,
  message,
  ONNX,
  onnx,
  roundTrip,
} from './helpers/onnx.js';
import { CountingSource, folder, seededRandom } from './helpers/safetensors.js';

const random = seededRandom(4);
const weights = floats(1000, random);
const source = (bytes: Uint8Array) => new CountingSource('m.onnx', bytes);

/** Checks that a folder comes back byte for byte. */
async function stored(files: Readonly<Record<string, Uint8Array>>) {
  const path = folder(files);
  const { files: restored, summary } = await roundTrip(path);
  expect(restored).toEqual(filesIn(path));
  return { path, summary };
}

describe('external data', () => {
  it.each(['../w.bin', '/etc/hosts', 'a/../../w', 'C:\\w', '\\\\server\\w', '', 'con', 'a//b', '..'])(
    'outside of the folder, %j, is never opened; the rest is stored, with a note',
    async (location) => {
      const inner = onnx(initializer('here', [1000], weights), external('there', [10], { location }));
      const opened: string[] = [];
      const beside: Folder = {
        id: 'folder',
        kind: 'directory',
        list: async () => [{ name: 'sub/m.onnx', lengthBytes: inner.length }],
        open: async (name) => {
          opened.push(name);
          return source(inner);
        },
        place: (name) => name,
      };
      const { weightSources, leftOut } = await readContents(beside);
      expect(new Set(opened)).toEqual(new Set(['sub/m.onnx']));
      expect(weightSources).toMatchObject([{ format: 'onnx', tensors: [{ name: 'here' }] }]);
      expect(leftOut).toEqual([
        {
          name: location || 'a file without a name',
          reason: 'external data of sub/m.onnx, outside of its folder',
        },
      ]);
      const { path } = await stored({ 'sub/m.onnx': inner });
      await expect(open(join(path, 'sub/m.onnx'))).rejects.toThrow(
        /outside of its folder, which is not read/,
      );
    },
  );

  it('is found in the folder of its file, and in folders there', () => {
    expect(externalName('onnx/m.onnx', './w')).toBe('onnx/w');
    expect(externalName('onnx/m.onnx', 'a/w')).toBe('onnx/a/w');
    expect(externalName('m.onnx', 'w')).toBe('w');
    expect(externalName('onnx/m.onnx', '../w')).toBeUndefined();
  });

  it('that a link leads to outside is not read: named where the file is stored alone', async () => {
    const outside = folder({ 'secret.bin': weights });
    const path = folder({ 'm.onnx': onnx(external('w', [1000], { location: 'w.bin' })) });
    symlinkSync(join(outside, 'secret.bin'), join(path, 'w.bin'));
    await expect(open(join(path, 'm.onnx'))).rejects.toThrow(/a link out of the folder/);
    const { files, summary } = await roundTrip(join(path, 'm.onnx'));
    expect(Object.keys(files)).toEqual(['m.onnx']);
    expect(summary.leftOut).toMatchObject([
      { name: 'w.bin', reason: expect.stringMatching(/external data of m\.onnx: a link out of the folder/) },
    ]);
  });

  it('of a file at an address is not fetched, and named', async () => {
    const bytes = onnx(
      ...Array.from({ length: 12 }, (_, i) => external(`w${i}`, [2], { location: `w${i}` })),
    );
    const files = await withExternalData('https://host/m.onnx', source(bytes), undefined);
    const { leftOut } = await readContents(files);
    expect(leftOut[0]).toEqual({
      name: 'w0',
      reason: 'external data of m.onnx, which is not fetched from an address',
    });
    expect(leftOut).toHaveLength(12);
    await expect(openOnnx('m.onnx', source(bytes))).rejects.toThrow(
      /w0 is in another file, which is not fetched/,
    );
  });

  it('that is missing is named, by the command line too', async () => {
    const many = Array.from({ length: 30 }, (_, i) => external(`w${i}`, [2], { location: `w${i}.bin` }));
    const { path, summary } = await stored({ 'm.onnx': onnx(...many) });
    expect(summary.leftOut).toHaveLength(9);
    expect(summary.leftOut.at(-1)).toEqual({
      name: '22 more files',
      reason: 'external data of m.onnx, missing or outside of its folder',
    });
    const { status, stderr } = weightpress('analyze', join(path, 'm.onnx'));
    expect(stderr).toMatch(/^weightpress: .*m\.onnx: its external data w0\.bin is missing\n$/);
    expect(status).toBe(2);
  });

  it('that overlaps, repeats or is too short is stored once, and comes back', async () => {
    const at = (offset: number, length = 4000) => ({
      location: 'w',
      offset: `${offset}`,
      length: `${length}`,
    });
    const tensors = [
      external('all', [1000], at(100)),
      external('tied', [1000], at(100)),
      external('half', [500], at(2100, 2000)),
      external('across', [1000], at(3000)),
      external('beyond', [1000], at(4200)),
      external('wrong', [1000], at(4100, 3)),
      external('not a number', [1000], { location: 'w', offset: '-1' }),
    ];
    const data = Buffer.concat([Buffer.alloc(100), weights, weights.subarray(0, 2000)]);
    const { path, summary } = await stored({ 'm.onnx': onnx(...tensors), w: data });
    expect(summary.tensors.map(({ name }) => name)).toEqual(['all']);
    await expect(open(join(path, 'm.onnx'))).rejects.toThrow(
      /"across": ends at byte 7000 of w, beyond its 6100 bytes/,
    );
  });

  it('of two files with one name for different tensors is stored', async () => {
    const at = (offset: number) => ({ location: 'w', offset: `${offset}` });
    const { summary } = await stored({
      'a.onnx': onnx(external('x', [1000], at(0)), initializer('y', [1000], weights)),
      'b.onnx': onnx(external('x', [1000], at(4000)), external('y', [1000], at(8000))),
      w: Buffer.concat([weights, floats(1000, random), floats(1000, random)]),
    });
    expect(summary.tensors.map(({ name }) => name)).toEqual(['y', 'x', 'y']);
  });
});

describe('a file', () => {
  it('cut anywhere is refused or read, and comes back', async () => {
    const whole = readFileSync(join(ONNX, 'hand.onnx'));
    const cuts = Array.from({ length: 25 }, (_, i) => 1 + Math.floor((i * (whole.length - 2)) / 24));
    const files = Object.fromEntries(cuts.map((cut) => [`${cut}.onnx`, whole.subarray(0, cut)]));
    const { path, summary } = await stored(files);
    expect(summary.weightFiles.filter(({ note }) => note?.startsWith('ONNX: '))).toHaveLength(cuts.length);
    for (const cut of cuts)
      await expect(open(join(path, `${cut}.onnx`)), String(cut)).rejects.toBeInstanceOf(InputError);
  });

  it('whose elements are of another length than its shape says is no model', async () => {
    const { path, summary } = await stored({ 'm.onnx': onnx(initializer('w', [999], weights)) });
    expect(summary.tensors).toEqual([]);
    await expect(open(join(path, 'm.onnx'))).rejects.toThrow(/"?w"?.*its elements are not 3996 bytes/);
  });

  const nested = (depth: number): Field[] =>
    depth ? [[1, [[4, 'If'], [5, [[1, 'then_branch'], [6, nested(depth - 1)]]]]]] : []; // biome-ignore format: nested
  const LIMITS: Readonly<Record<string, readonly [Uint8Array, RegExp]>> = {
    'graphs in graphs': [onnx(...nested(40)), /graphs inside of graphs, over the limit of 16/],
    'a length beyond the file': [message([[1, 8], [7, [], 2 ** 40]]), /ends beyond its message/], // biome-ignore format: fields
    'a tensor beyond its graph': [onnx([5, [[9, weights, 2 ** 45]]]), /ends beyond its message/],
    'a name of megabytes': [
      onnx([5, [[8, 'x'.repeat(2 ** 21)]]]),
      /a text of 2097152 bytes is over the limit/,
    ],
    'a shape without end': [onnx([5, Array.from({ length: 65 }, (): Field => [1, 1])]), /too many integers/],
    'a shape of more than 2^53': [onnx(initializer('w', [2 ** 30, 2 ** 30], weights)), /has the shape/],
    'an integer without end': [Buffer.alloc(40, 0xff), /more than ten bytes/],
    'no graph': [message([[1, 8]]), /no graph in it/], // biome-ignore format: fields
    'a field number of 0': [Buffer.from([0x3a, 2, 0, 0]), /not a message of protocol buffers/],
    'a group': [Buffer.from([0x3a, 1, 0x0b]), /unknown wire type 3/],
  };
  it.each(Object.keys(LIMITS))('with %s is refused, and comes back', async (name) => {
    const [bytes, expected] = LIMITS[name]!;
    await expect(readOnnx(source(bytes))).rejects.toThrow(expected);
    const { path } = await stored({ 'm.onnx': bytes });
    await expect(open(join(path, 'm.onnx'))).rejects.toThrow(expected);
  });

  it('of billions of tiny fields is refused after some of them', {
    tags: 'slow',
    timeout: 60_000,
  }, async () => {
    // an endless row of nodes without a field, of which only what is read exists
    const tiny = endless(2 ** 33, Buffer.concat([Buffer.from([8, 8, 0x3a]), varint(2 ** 33 - 8)]), [0x22, 0]);
    await expect(readOnnx(tiny)).rejects.toThrow(/over the limit of 4194304 fields/);
    expect(tiny.bytesRead).toBeLessThan(2 ** 25);
  });

  it('beside others, with more tensors than a .wpk can list, is stored as bytes', {
    tags: 'slow',
  }, async () => {
    const many = message([[1, 8], [7, Buffer.alloc(400_000, Buffer.from([0x2a, 0]))]]); // biome-ignore format: fields
    const { summary } = await stored({ 'a.onnx': many, 'b.onnx': many, 'c.onnx': many });
    expect(summary.weightFiles.map(({ note }) => note)).toEqual([
      undefined,
      undefined,
      'tensors of ONNX files over the limit of 500000 in all',
    ]);
  });

  it('of gigabytes is read by its header: weights are skipped', async () => {
    const length = 2 ** 31;
    const tensor = message([[1, 2 ** 29], [2, 1], [8, 'w'], [9, new Uint8Array(), length]]); // biome-ignore format: fields
    const inGraph = Buffer.concat([Buffer.from([0x2a]), varint(tensor.length + length), tensor]);
    const front = Buffer.concat([Buffer.from([8, 8, 0x3a]), varint(inGraph.length + length), inGraph]);
    const large = endless(front.length + length, front, [0]);
    const { tensors } = await readOnnx(large);
    expect(tensors).toMatchObject([{ name: 'w', shape: [2 ** 29], start: front.length }]);
    expect(large.bytesRead).toBeLessThan(2 ** 16);
  });
});

const varint = (value: number): Buffer => message([[0, value]]).subarray(1);

/** A file that begins with `front` and goes on with the same bytes, none of which is stored. */
function endless(byteLength: number, front: Uint8Array, then: readonly number[]) {
  const file = {
    name: 'm.onnx',
    byteLength,
    bytesRead: 0,
    read: async (start: number, end: number) => {
      file.bytesRead += end - start;
      const bytes = new Uint8Array(end - start);
      for (let i = 0; i < bytes.length; i++) {
        const at = start + i;
        bytes[i] = at < front.length ? front[at]! : then[(at - front.length) % then.length]!;
      }
      return bytes;
    },
    close: async () => {},
  };
  return file satisfies ByteSource;
}
