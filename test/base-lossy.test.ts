// @module-tag slow
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { type Compressed, compress, decompress, open, verify } from '../src/index.js';
import { modelCard } from '../src/operations/push/card.js';
import { TINY } from './helpers/fixtures.js';
import { folder, safetensors, seededRandom } from './helpers/safetensors.js';

// Lossy files of a model whose base is known: what is quantized is the difference.

const place = folder();
const at = (...names: string[]) => join(place, ...names);
const [fineTune, base] = [at('fine-tune'), at('base')];
const quick = { threads: 0, calibration: false } as const;

/** Copies a model and adds noise of a share of each matrix's own size to its bf16 weights. */
function writeFineTune(from: string, to: string, share: number): void {
  cpSync(from, to, { recursive: true });
  const file = join(to, 'model.safetensors');
  const bytes = readFileSync(file);
  const start = 8 + Number(bytes.readBigUInt64LE());
  const words = new Uint16Array(new Uint8Array(bytes.subarray(start)).buffer);
  const floats = new Float32Array(Uint32Array.from(words, (word) => word << 16).buffer);
  const random = seededRandom(7);
  for (let i = 0; i < floats.length; i++) floats[i]! *= 1 + share * (2 * random() - 1);
  const rounded = Uint16Array.from(new Uint32Array(floats.buffer), (word) => (word + 0x8000) >>> 16);
  writeFileSync(file, Buffer.concat([bytes.subarray(0, start), new Uint8Array(rounded.buffer)]));
}

const floatsOf = async (path: string, tensor: string) => {
  await using model = await open(path);
  return await model.tensors.find(({ name }) => name === tensor)!.floats();
};

describe('a lossy file with a base', () => {
  const output = at('tuned.wpk');
  let made: Compressed;
  beforeAll(async () => {
    cpSync(TINY, base, { recursive: true });
    writeFineTune(base, fineTune, 0.05);
    made = await compress(fineTune, output, { ...quick, base, budget: { bits: 1 } });
  }, 60_000);

  it('has a budget like any other, and names its base', async () => {
    expect((made.fileBytesWithoutSideFiles * 8) / made.weights).toBeLessThanOrEqual(1);
    expect(made.base?.name).toBe('base');
    expect(await verify(output)).toMatchObject({ good: true });
  });

  it('loses as little as differences of 5 % at one bit can', async () => {
    const { error } = await verify(output, { against: fineTune });
    // uniform noise of 5 % has 0.05^2 / 3 of the energy, of which one bit leaves a quarter, and tables and side files take a part of that bit
    expect(error!.relativeSquaredError).toBeLessThan(0.5 * (0.05 ** 2 / 3));
    expect(error!.relativeSquaredError).toBeGreaterThan(0.1 * (0.05 ** 2 / 3));
  });

  it('is decoded to the base plus the difference, rounded to the type', async () => {
    const name = 'transformer.h.0.mlp.c_fc.weight';
    const [own, known, was] = await Promise.all([output, base, fineTune].map((path) => floatsOf(path, name)));
    const words = new Uint32Array(own!.buffer, own!.byteOffset, own!.length);
    expect(words.every((word) => (word & 0xffff) === 0)).toBe(true);
    const distance = (a: Float32Array, b: Float32Array) => a.reduce((sum, x, i) => sum + (x - b[i]!) ** 2, 0);
    expect(distance(own!, was!)).toBeLessThan(0.5 * distance(known!, was!));
  });

  it('is much smaller than without its base at the same error', async () => {
    const alone = at('alone.wpk');
    const { error } = await verify(output, { against: fineTune });
    await compress(fineTune, alone, { ...quick, budget: { bits: 4 } });
    const without = await verify(alone, { against: fineTune });
    expect(without.error!.relativeSquaredError).toBeGreaterThan(error!.relativeSquaredError);
  });

  it('says in its model card that it needs the base', () => {
    const license = { id: 'unknown', fields: {} } as never;
    const card = modelCard('user/tuned', 'tuned.wpk', made, license);
    expect(card).toMatch('| needs | its base `base`, whose bytes are not counted');
    expect(card).toMatch('weightpress decompress user/tuned/tuned.wpk -o model --base base ');
  });

  it('comes back as a folder, with every file of its model', async () => {
    await decompress(output, at('back'), { base, threads: 0 });
    expect(
      readFileSync(at('back', 'tokenizer.json')).equals(readFileSync(join(TINY, 'tokenizer.json'))),
    ).toBe(true);
  });

  it('is refused with another base, and with none', async () => {
    await expect(verify(output, { base: fineTune })).rejects.toThrow('is not the base of');
    await expect(decompress(output, at('never'), { base: at('back') })).rejects.toThrow('is not the base of');
  });

  it('of the base itself is exact, and next to nothing', async () => {
    const same = at('same.wpk');
    const { fileBytesWithoutSideFiles, note } = await compress(base, same, {
      ...quick,
      base: fineTune,
      budget: { bits: 16 },
    });
    expect(note).toMatch('enough for a lossless file');
    expect(fileBytesWithoutSideFiles).toBeLessThan(1_348_864 * 2 * 0.7);
  });
});

it('masks may be infinite', async () => {
  const random = seededRandom(3);
  const weights = Float32Array.from({ length: 4096 }, () => random() - 0.5);
  const tuned = weights.map((value) => value * 1.01);
  const mask = new Float32Array(64).fill(Number.NEGATIVE_INFINITY);
  const model = (values: Float32Array) =>
    folder({
      'model.safetensors': safetensors([
        { name: 'w', dtype: 'F32', shape: [64, 64], data: new Uint8Array(values.buffer) },
        { name: 'mask', dtype: 'F32', shape: [8, 8], data: new Uint8Array(mask.buffer) },
      ]),
    });
  const options = { ...quick, base: model(weights), budget: { bits: 8 } };
  expect(await compress(model(tuned), at('masked.wpk'), options)).toMatchObject({ tensors: { length: 2 } });
});

it('a base is not for transforms', async () => {
  const codec = { transform: 'dct' } as const;
  await expect(
    compress(fineTune, at('dct.wpk'), { codec, base, budget: { bits: 4 }, calibration: false }),
  ).rejects.toThrow('a transform has no base');
});
