import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeBlock, encodeBlock } from '../src/codecs/lossless/block.js';
import { compress, decompress, generate, inspect, open, verify } from '../src/index.js';
import { writeGgufHeader } from '../src/models/gguf/header-writer.js';
import { GGUF_TYPES, typeNamed } from '../src/models/gguf/types.js';
import { writeGguf } from '../src/operations/export/gguf.js';
import { losslessKernels } from '../src/wasm/lossless.js';
import { weightpress } from './helpers/cli.js';
import { asModel, TINY_CONFIGS, tinyModel, withTokenizer } from './helpers/gguf.js';
import { folder, seededRandom } from './helpers/safetensors.js';

const place = folder();
const at = (name: string) => join(place, name);
let files = 0;

/** Compresses a file as it is. */
async function compressed(path: string): Promise<string> {
  const output = at(`${files++}.wpk`);
  const model = await open(path);
  await compress(model, output);
  await model.close();
  return output;
}

/** The file that comes back out. */
async function restored(wpk: string, name: string): Promise<Buffer> {
  const target = at(`restored-${files++}`);
  await decompress(wpk, target);
  return readFileSync(join(target, name));
}

/** A model as llama.cpp would have it. */
async function written(name: string, type: 'F16' | 'Q8_0'): Promise<string> {
  const path = at(`${name}-${type}.gguf`);
  await writeGguf(asModel(withTokenizer(tinyModel(name))), path, { type, force: true });
  return path;
}

describe('a GGUF file is compressed without conversion', () => {
  const storedAndRead = async (name: string) => {
    for (const type of ['F16', 'Q8_0'] as const) {
      const path = await written(name, type);
      const wpk = await compressed(path);
      expect((await restored(wpk, `${name}-${type}.gguf`)).equals(readFileSync(path))).toBe(true);
      const [there, here] = [await open(wpk), await open(path)];
      expect(there.kind).toBe('wpk');
      expect(there.config).toEqual(here.config);
      expect(there.tensors).toEqual(here.tensors);
      for (const { name: tensor } of here.tensors)
        expect(await there.readTensor(tensor)).toEqual(await here.readTensor(tensor));
      const continued = (model: typeof here) =>
        generate(model, [46, 57, 37], { maxTokens: 5, endTokens: [] });
      expect((await continued(there)).tokens).toEqual((await continued(here)).tokens);
      expect(await verify(wpk, { against: here })).toMatchObject({ good: true, bitExact: true });
      await Promise.all([there.close(), here.close()]);
    }
  };
  const [first, ...others] = Object.keys(TINY_CONFIGS);
  it(`${first}: restored bit by bit, and read as the file is`, () => storedAndRead(first!));
  it.each(others)('%s: restored bit by bit, and read as the file is', { tags: 'slow' }, storedAndRead);

  it('prints the bytes of the file and its number of weights, not of bytes in tensors', async () => {
    const path = await written('llama', 'Q8_0');
    const summary = await inspect(await compressed(path));
    const bytes = readFileSync(path).length;
    expect(summary.originalBytes).toBe(bytes);
    const model = await open(path);
    const weights = model.tensors.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
    await model.close();
    expect(summary.rows.reduce((sum, { elements }) => sum + elements, 0)).toBe(weights);
    expect(summary.rows.reduce((sum, row) => sum + row.originalBytes, 0)).toBe(bytes);
    expect(summary.tensors.map(({ dtype }) => dtype)).toContain('Q8_0');
    expect(summary.tensors.map(({ role }) => role)).toContain('attention');
  });

  it('analyze says that its figures are of the floats, not of the blocks that are kept', async () => {
    const { stdout } = weightpress('analyze', await written('llama', 'Q8_0'));
    expect(stdout).toMatch(/of .*, decoded to floats; compress stores the quantized blocks/);
    expect(weightpress('analyze', await written('llama', 'F16')).stdout).not.toMatch(/decoded to floats/);
  });

  it('whatever stands between and behind its tensors', async () => {
    const bytes = [33, 64, 7].map((length, i) => new Uint8Array(length).fill(i + 1));
    const tensors = bytes.map(({ length: lengthBytes }, i) => ({
      name: `t${i}`,
      type: typeNamed('I8'),
      shape: [lengthBytes],
      lengthBytes,
    }));
    const padded = bytes.flatMap((data, i) => [
      data,
      new Uint8Array((32 - (data.length % 32)) % 32).fill(0xa0 + i),
    ]);
    const file = Buffer.concat([writeGgufHeader([], tensors), ...padded, Buffer.from('behind')]);
    writeFileSync(at('padded.gguf'), file);
    const wpk = await compressed(at('padded.gguf'));
    expect((await restored(wpk, 'padded.gguf')).equals(file)).toBe(true);
    expect((await verify(wpk)).good).toBe(true);
  });

  it('without tensors', async () => {
    writeFileSync(
      at('empty.gguf'),
      writeGgufHeader([{ key: 'general.name', type: 'string', value: 'x' }], []),
    );
    const wpk = await compressed(at('empty.gguf'));
    expect((await restored(wpk, 'empty.gguf')).equals(readFileSync(at('empty.gguf')))).toBe(true);
  });

  it('a flipped byte is found', { tags: 'slow' }, async () => {
    const wpk = await compressed(await written('llama', 'Q8_0'));
    const whole = readFileSync(wpk);
    const random = seededRandom(3);
    for (let i = 0; i < 40; i++) {
      const bad = Buffer.from(whole);
      bad[Math.floor(random() * bad.length)]! ^= 1 << Math.floor(random() * 8);
      writeFileSync(at('bad.wpk'), bad);
      expect((await verify(at('bad.wpk'))).good).toBe(false);
    }
  });
});

describe('lossy, from a quantized file', () => {
  it('the ratio is of that file, not of the floats it is read as', { tags: 'slow' }, async () => {
    const path = await written('llama', 'Q8_0');
    const [before, output] = [readFileSync(path).length, at('lossy.wpk')];
    const flags = ['--bits', '5', '--no-calibration'];
    expect(weightpress('compress', path, '-o', output, ...flags).stderr).toBe('');
    const summary = await inspect(output);
    expect(summary.originalBytes).toBe(before);
    const ratio = (before / summary.fileBytes) * 0.98;
    const asked = ['--ratio', String(ratio), '--no-calibration'];
    expect(weightpress('compress', path, '-o', at('ratio.wpk'), ...asked).stderr).toBe('');
    const reached = before / readFileSync(at('ratio.wpk')).length;
    expect(reached).toBeGreaterThanOrEqual(ratio);
    expect(reached).toBeLessThan(ratio * 1.02);
  });
});

describe('fields', () => {
  const kernels = losslessKernels();
  const strides = [18, 20, 22, 24, 34, 84, 110, 136, 144, 176, 210];
  const block = (columns: number, first: number, count: number) =>
    ({ dtype: 'U8', first, rows: 1e6, columns, count }) as const;

  /** Rows with a scale whose high byte is nearly constant, and packed integers that bunch. */
  function rows(columns: number, first: number, count: number, seed: number): Uint8Array {
    const random = seededRandom(seed);
    return Uint8Array.from({ length: count }, (_, i) => {
      const column = (first + i) % columns;
      if (column === 1) return 0x2c;
      return column === 0 ? random() * 256 : 120 + (random() + random() + random()) * 8;
    });
  }

  it.each(strides)('rows of %i bytes come back, wherever a block begins in one', (columns) => {
    fc.assert(
      fc.property(
        fc.nat(3 * columns),
        fc.integer({ min: 1, max: 5000 }),
        fc.nat(1000),
        (first, count, seed) => {
          const bytes = rows(columns, first, count, seed);
          const coded = encodeBlock(kernels, bytes, block(columns, first, count));
          expect(decodeBlock(kernels, coded, block(columns, first, count))).toEqual(bytes);
        },
      ),
      { seed: 1, numRuns: 40 },
    );
  });

  it('are smaller than one table for all, where bytes differ by place', () => {
    for (const first of [0, 20]) {
      const bytes = rows(34, first, 340_000, 1);
      const own = encodeBlock(kernels, bytes, block(34, first, bytes.length));
      const flat = encodeBlock(kernels, bytes, block(33, first, bytes.length));
      expect(own[8]).toBe(6);
      expect(own.length).toBeLessThan(flat.length * 0.99);
    }
  });

  it('damaged payloads are refused or decode to the same, never anything else', () => {
    const bytes = rows(66, 0, 20_000, 1);
    const coded = encodeBlock(kernels, bytes, block(66, 0, bytes.length));
    expect(coded[8]).toBe(5);
    fc.assert(
      fc.property(fc.nat(coded.length - 1), fc.integer({ min: 1, max: 255 }), (place, flip) => {
        const bad = Uint8Array.from(coded);
        bad[place]! ^= flip;
        try {
          expect(decodeBlock(kernels, bad, block(144, 0, bytes.length))).toEqual(bytes);
        } catch (error) {
          if (!(error instanceof RangeError)) throw error;
        }
      }),
      { seed: 1, numRuns: 500 },
    );
  });

  it('there is a layout for every quantized type that is decoded, as long as its blocks', () => {
    const decoded = [
      'Q4_0',
      'Q4_1',
      'Q5_0',
      'Q5_1',
      'Q8_0',
      'Q2_K',
      'Q3_K',
      'Q4_K',
      'Q5_K',
      'Q6_K',
      'IQ4_NL',
      'IQ4_XS',
    ];
    const lengths = Object.values(GGUF_TYPES).filter(({ name }) => decoded.includes(name));
    expect(new Set(lengths.map(({ blockBytes }) => blockBytes))).toEqual(new Set(strides));
  });
});
