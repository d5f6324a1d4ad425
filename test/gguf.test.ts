import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isInputError, open } from '../src/index.js';
import { DEQUANTIZE } from '../src/models/gguf/dequantize.js';
import { readGgufHeader } from '../src/models/gguf/header.js';
import { GGUF_TYPES } from '../src/models/gguf/types.js';
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
  expect(statements[0].because).toMatch(/2 tensors \(Q8_0, F32\) in 264 bytes: 13\.2 bits per weight/);
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

/** What ggml's own Python package (gguf 0.19.0, quants.dequantize) makes of the same blocks: the floats' SHA-256, and four of them. */
const REFERENCE: Readonly<Record<string, { sha256: string; first: readonly number[] }>> = {
  Q4_0: {
    sha256: '5ef6cbf42b58c1aac372edad428f630785e9b601c2c6c8c67d27e5a1e6d52d66',
    first: [0.0471038818359375, -0.094207763671875, 0.031402587890625, 0.1099090576171875],
  },
  Q4_1: {
    sha256: '0423b2113d20080b9bc6f6c2e1a8e4c178a0ac13520e5889d260e7627acce979',
    first: [0.1000518798828125, 0.1628570556640625, -0.009857177734375, 0.2099609375],
  },
  Q5_0: {
    sha256: '765959f4357f1ce4eaf711ea1c62cd9db74bd2c6b7a59df66e87fb79beda05d7',
    first: [0.219818115234375, 0.18841552734375, -0.1256103515625, -0.094207763671875],
  },
  Q5_1: {
    sha256: 'ce4a41202fd8c5c35df0475a8e9562f92b663cb79570fea27eef4806837c3b93',
    first: [0.1000518798828125, 0.1000518798828125, 0.4140777587890625, 0.3355712890625],
  },
  Q8_0: {
    sha256: 'cf510d9c4dc78a00a1e2162599df8bd3e31518c34878d53dffca818b8fd015f3',
    first: [-1.8370513916015625, -1.475921630859375, -0.2041168212890625, 1.161895751953125],
  },
  Q2_K: {
    sha256: '1dcac3af91839ec2275e10fd6a44a77d2c978e7ca3c8c802c2ea5557e01a0a6e',
    first: [-0.1139068603515625, -0.1139068603515625, -0.1822509765625, 0.0372314453125],
  },
  Q3_K: {
    sha256: 'e387227e5979990e0834321586c79680eb32f36b2a8b6375b6f37bb50557bbf4',
    first: [-0.36749267578125, 0.36749267578125, -0.7043609619140625, 0.7349853515625],
  },
  Q4_K: {
    sha256: '068564e7260e53d53b895c336af66b082617366f75051d62523426c567a72bfb',
    first: [3.753662109375, 3.753662109375, 6.8939208984375, 4.4824676513671875],
  },
  Q5_K: {
    sha256: 'd9ff33d4822b99048b0fa51a48311d03ef63f17e9e38dd63c28139a2d637a7a3',
    first: [13.802490234375, 16.314697265625, 6.265869140625, 12.0347900390625],
  },
  Q6_K: {
    sha256: '938a88001d704821aa5587093c77d56352b0f573d4fd0e2132b7c67f244fd91c',
    first: [-41.21685791015625, -39.254150390625, 68.69476318359375, -18.9970703125],
  },
  MXFP4: {
    sha256: '50b91cc07302ab862554e29d40be4789a8124dc146cb9e88cf036322c3f1364e',
    first: [3.76158192263132e-37, -2.82118644197349e-37, 0, 7.52316384526264e-37],
  },
  IQ4_NL: {
    sha256: '6cb05b6a8233168df37eb76087bf50ef88fb691e5440ca13481a5cf1e769d23b',
    first: [0.596649169921875, -1.3032073974609375, 0.3925323486328125, 1.7742462158203125],
  },
  IQ4_XS: {
    sha256: 'ec2c9463582ae6dfd2831001d7b821514481c9194ffc0abb793a93640db8b7b5',
    first: [0.3768310546875, 0.3768310546875, 19.9720458984375, 6.6573486328125],
  },
};

/** Bytes of eight blocks from a linear congruential generator; their scales made small and finite. */
function blocksOf(name: string, blockBytes: number): Uint8Array {
  let x = 12345;
  const bytes = Uint8Array.from({ length: 8 * blockBytes }, () => {
    x = (Math.imul(1664525, x) + 1013904223) >>> 0;
    return x >>> 24;
  });
  const two = ['Q4_1', 'Q5_1', 'Q4_K', 'Q5_K'].includes(name);
  const scales = { Q2_K: [80, 82], Q3_K: [108], Q6_K: [208] }[name] ?? (two ? [0, 2] : [0]);
  for (let block = 0; block < 8; block++)
    for (const at of scales) {
      const high = block * blockBytes + at + 1;
      bytes[high] = (bytes[high]! & 0x83) | 0x24;
    }
  return bytes;
}

describe('quantized types decode to the very floats of the reference', () => {
  test.each(Object.entries(REFERENCE))('%s', (name, { sha256, first }) => {
    const { blockElements, blockBytes } = Object.values(GGUF_TYPES).find((type) => type.name === name)!;
    const bytes = blocksOf(name, blockBytes);
    const floats = new Float32Array(8 * blockElements);
    for (let block = 0; block < 8; block++)
      DEQUANTIZE[name]!(bytes, block * blockBytes, floats, block * blockElements);
    expect([floats[0], floats[1], floats[17], floats[blockElements - 1]]).toEqual(first);
    expect(createHash('sha256').update(new Uint8Array(floats.buffer)).digest('hex')).toBe(sha256);
  });
});

test('a file of quantized weights is a model: read by ranges, compressed, restored as it was and as safetensors', async () => {
  const data = blocksOf('Q8_0', 34);
  const header = gguf({ tensors: [tensor('w', [64, 4], 8, 0)] });
  writeFileSync(at('q.gguf'), Buffer.concat([header, data]));
  const model = await open(at('q.gguf'));
  const whole = await model.readTensor('w');
  expect(model.tensors[0]).toMatchObject({ name: 'w', dtype: 'F32', shape: [4, 64] });
  expect(whole.length).toBe(1024);
  expect(await model.readTensor('w', 131, 517)).toEqual(whole.slice(131, 517));
  await model.close();
  expect(weightpress('compress', at('q.gguf'), '-o', at('q.wpk')).stderr).toBe('');
  expect(weightpress('verify', at('q.wpk'), '--against', at('q.gguf')).stdout).toMatch(/bit-exact/);
  expect(weightpress('decompress', at('q.wpk'), '-o', at('restored')).status).toBe(0);
  expect(readFileSync(at('restored/q.gguf')).equals(readFileSync(at('q.gguf')))).toBe(true);
  expect(weightpress('decompress', at('q.wpk'), '-o', at('floats'), '--format', 'safetensors').status).toBe(
    0,
  );
  const restored = await open(at('floats/model.safetensors'));
  expect(await restored.readTensor('w')).toEqual(whole);
  await restored.close();
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
    ['a string a little past it', gguf({ keys: [[...u64(5000)]] }), /expected 5000 more bytes/],
    [
      'an array of 2^60',
      gguf({ keys: [key('a', 9, [...u32(4), ...u64(2n ** 60n)])] }),
      /arrays of \d+ elements/,
    ],
    [
      'arrays in arrays in arrays',
      gguf({ keys: [key('a', 9, Array.from({ length: 9 }, () => [...u32(9), ...u64(1)]).flat())] }),
      /nested deeper/,
    ],
    ['alignment 0', gguf({ keys: [key('general.alignment', 4, u32(0))] }), /power of two, found 0/],
    ['alignment 24', gguf({ keys: [key('general.alignment', 4, u32(24))] }), /power of two, found 24/],
    ['a key twice', gguf({ keys: [key('a', 4, u32(1)), key('a', 4, u32(1))] }), /duplicate key "a"/],
    [
      'a tensor twice',
      gguf({ tensors: [tensor('w', [8], 0, 0), tensor('w', [8], 0, 32)], data: 64 }),
      /duplicate name/,
    ],
    [
      'tensors that overlap',
      gguf({ tensors: [tensor('v', [16], 0, 0), tensor('w', [8], 0, 32)], data: 64 }),
      /overlaps/,
    ],
    ['a tensor beyond the file', one([1000]), /ends beyond the file/],
    ['an offset of 2^63', one([4], 0, 2n ** 63n), /ends beyond|not aligned/],
    ['more elements than numbers', one([2n ** 40n, 2n ** 40n]), /cannot have shape \[/],
    ['an unknown type', one([4], 99), /unknown type 99/],
    ['half a block', one([16], 8), /Q8_0 cannot have shape \[16\]/],
    ['version 1', gguf({ version: 1 }), /version 1/],
    ['a cut file', HONEST.subarray(0, 70), /more bytes, found/],
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
