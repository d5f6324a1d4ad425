import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readGgufHeader } from '../dist/formats/gguf/header.js';
import { isInputError } from '../dist/index.js';
import { complaint, weightpress } from './helpers/cli.js';
import { folder } from './helpers/safetensors.js';

const place = folder({});
const at = (name: string) => join(place, name);

const u32 = (value: number) => [...new Uint8Array(Uint32Array.of(value).buffer)];
const u64 = (value: number | bigint) => [...new Uint8Array(BigUint64Array.of(BigInt(value)).buffer)];
const text = (value: string) => [...u64(Buffer.byteLength(value)), ...Buffer.from(value)];
type Bytes = readonly number[];
const key = (name: string, type: number, value: Bytes) => [...text(name), ...u32(type), ...value];
const tensor = (name: string, shape: readonly (number | bigint)[], type: number, offset: number | bigint) => [
  ...text(name),
  ...u32(shape.length),
  ...shape.flatMap(u64),
  ...u32(type),
  ...u64(offset),
];

/** A GGUF file of these parts. */
function gguf({
  keys = [] as Bytes[],
  tensors = [] as Bytes[],
  data = 0,
  version = 3,
  tensorCount = BigInt(tensors.length),
  keyCount = BigInt(keys.length),
}): Uint8Array {
  const header = [
    ...Buffer.from('GGUF'),
    ...u32(version),
    ...u64(tensorCount),
    ...u64(keyCount),
    ...keys.flat(),
    ...tensors.flat(),
  ];
  return Uint8Array.from([
    ...header,
    ...new Array(Math.ceil(header.length / 32) * 32 - header.length + data).fill(0),
  ]);
}

const source = (bytes: Uint8Array) => ({
  name: 'a.gguf',
  byteLength: bytes.length,
  read: async (start: number, end: number) => bytes.slice(start, end),
  close: async () => {},
});

const HONEST = gguf({
  keys: [
    key('general.architecture', 8, text('llama')),
    key('llama.block_count', 4, u32(1)),
    key('tokens', 9, [...u32(8), ...u64(2), ...text('a'), ...text('é')]),
    key('nested', 9, [...u32(9), ...u64(1), ...u32(7), ...u64(2), 1, 0]),
  ],
  tensors: [tensor('token_embd.weight', [32, 4], 8, 0), tensor('blk.0.attn_norm.weight', [32], 0, 160)],
  data: 160 + 128,
});

test('metadata and places of tensors are read, no tensor is', async () => {
  const header = await readGgufHeader(source(HONEST));
  expect(Object.fromEntries(header.metadata)).toMatchObject({
    'general.architecture': 'llama',
    'llama.block_count': 1,
    nested: [[true, false]],
  });
  expect(
    header.tensors.map(({ name, shape, start, end, type }) => [
      name,
      shape,
      start - header.dataStart,
      end - start,
      type.name,
    ]),
  ).toEqual([
    ['token_embd.weight', [4, 32], 0, 136, 'Q8_0'],
    ['blk.0.attn_norm.weight', [32], 160, 128, 'F32'],
  ]);
});

test('audit tells bits a weight, and whether layers are missing', () => {
  writeFileSync(at('a.gguf'), HONEST);
  const { statements } = JSON.parse(weightpress('audit', at('a.gguf'), '--json').stdout);
  expect(statements[0].because).toMatch(/2 tensors \(Q8_0, F32\) in 264 bytes: 13\.2 bits a weight/);
  expect(statements.map(({ verdict }: { verdict: string }) => verdict)).toEqual([
    'supported',
    'supported',
    'supported',
  ]);
  writeFileSync(
    at('b.gguf'),
    gguf({ keys: [key('general.architecture', 8, text('llama')), key('llama.block_count', 4, u32(24))] }),
  );
  expect(weightpress('audit', at('b.gguf')).status).toBe(1);
});

describe('hostile headers are refused in one line', () => {
  const one = (shape: readonly (number | bigint)[], type = 0, offset: number | bigint = 0) =>
    gguf({ tensors: [tensor('w', shape, type, offset)], data: 64 });
  test.each([
    ['a count of tensors of 2^60', gguf({ tensorCount: 2n ** 60n }), /tensors are over the limit/],
    ['a count of keys of 2^60', gguf({ keyCount: 2n ** 60n }), /keys are over the limit/],
    [
      'a string past the end',
      gguf({ keys: [[...u64(2n ** 40n)]] }),
      /a string of \d+ bytes is over the limit/,
    ],
    ['a string a little past it', gguf({ keys: [[...u64(5000)]] }), /5000 bytes are announced/],
    [
      'an array of 2^60',
      gguf({ keys: [key('a', 9, [...u32(4), ...u64(2n ** 60n)])] }),
      /an array of \d+ elements/,
    ],
    [
      'arrays in arrays in arrays',
      gguf({ keys: [key('a', 9, Array.from({ length: 9 }, () => [...u32(9), ...u64(1)]).flat())] }),
      /nested deeper/,
    ],
    ['alignment 0', gguf({ keys: [key('general.alignment', 4, u32(0))] }), /an alignment of 0/],
    ['alignment 24', gguf({ keys: [key('general.alignment', 4, u32(24))] }), /an alignment of 24/],
    ['a key twice', gguf({ keys: [key('a', 4, u32(1)), key('a', 4, u32(1))] }), /"a" is there twice/],
    [
      'a tensor twice',
      gguf({ tensors: [tensor('w', [8], 0, 0), tensor('w', [8], 0, 32)], data: 64 }),
      /is there twice/,
    ],
    [
      'tensors that overlap',
      gguf({ tensors: [tensor('v', [16], 0, 0), tensor('w', [8], 0, 32)], data: 64 }),
      /overlaps/,
    ],
    ['a tensor beyond the file', one([1000]), /lies beyond the file/],
    ['an offset of 2^63', one([4], 0, 2n ** 63n), /lies beyond|not aligned/],
    ['more elements than numbers', one([2n ** 40n, 2n ** 40n]), /is \[/],
    ['an unknown type', one([4], 99), /type 99, which is not known/],
    ['half a block', one([16], 8), /Q8_0 is \[16\]/],
    ['version 1', gguf({ version: 1 }), /version 1/],
    ['a cut file', HONEST.subarray(0, 70), /are announced/],
  ] as const)('%s', (_, bytes, message) => {
    writeFileSync(at('bad.gguf'), bytes);
    const { status, lines, stack, message: said } = complaint(weightpress('audit', at('bad.gguf')));
    expect({ status, lines, stack }).toEqual({ status: 2, lines: 1, stack: false });
    expect(said).toMatch(message);
  });

  test('any flipped byte is read or refused, nothing else', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(HONEST.length - 1), fc.integer({ min: 1, max: 255 }), async (place, flip) => {
        const bad = HONEST.slice();
        bad[place]! ^= flip;
        await readGgufHeader(source(bad)).catch((error) => expect(isInputError(error)).toBe(true));
      }),
      { seed: 5, numRuns: 1000 },
    );
  });
});
