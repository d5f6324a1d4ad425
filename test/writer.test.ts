import { createHash } from 'node:crypto';
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { concatenate } from '../src/core/bytes.js';
import { isInputError } from '../src/core/errors.js';
import { open } from '../src/index.js';
import { openFile } from '../src/io/node/file.js';
import type { StoredModel } from '../src/models/stored-model.js';
import { Candidate } from '../src/quantization/candidate.js';
import { writeLossless } from '../src/quantization/lossless-candidate.js';
import { maxReportBytes, qualityReport } from '../src/quantization/quality.js';
import { deflate, FRAME, frame } from '../src/wpk/frames.js';
import { describe as describeManifest } from '../src/wpk/manifest.js';
import { WpkModel } from '../src/wpk/model.js';
import { describeFiles } from '../src/wpk/node/manifest.js';
import { type FinishedFrame, readFinished } from '../src/wpk/resume.js';
import { frontOf, type Part, type Sink, WpkWriter } from '../src/wpk/writer.js';
import { leftovers } from './helpers/leftovers.js';
import { encodeTensor, same } from './helpers/lossless.js';
import { CountingSource, f32, folder, safetensors, seededRandom } from './helpers/safetensors.js';

// A model of two tensors and a copy, made and written in memory.

const random = seededRandom(15);
const noise = (count: number) =>
  new Uint8Array(Float32Array.from({ length: count }, () => random() - 0.5).buffer);
const WEIGHTS = noise(300_000); // two blocks
const BIAS = noise(100);
const HEADER = new TextEncoder().encode('a header of sixteen bytes and more');
const CONFIG = new TextEncoder().encode('{"model_type":"test"}');

const TENSORS = [
  { name: 'weights', shape: [300, 1000], data: WEIGHTS },
  { name: 'bias', shape: [100], data: BIAS },
  { name: 'copy', shape: [300, 1000], data: WEIGHTS },
].map((tensor) => ({ ...tensor, dtype: 'F32' as const }));
const weightFile = concatenate([HEADER, ...TENSORS.map(({ data }) => data)]);

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

let start = HEADER.length;
const manifest = describeManifest(
  {
    id: 'model',
    config: undefined,
    sideFiles: [{ name: 'config.json', lengthBytes: CONFIG.length }],
    weightSources: [
      {
        name: 'model.safetensors',
        source: new CountingSource('model.safetensors', weightFile),
        headerBytes: HEADER,
        tensors: TENSORS.map(({ name, dtype, shape, data }) => {
          const tensor = { name, dtype, shape, lengthBytes: data.length, start, end: start + data.length };
          start = tensor.end;
          return tensor;
        }),
      },
    ],
  },
  { source: 'model', options: { codec: 'lossless' }, duplicates: [undefined, undefined, 0] },
);
const facts = {
  sideFiles: [{ sha256: sha256(CONFIG) }],
  weightFiles: [{ sha256: sha256(weightFile) }],
  tensors: [{ sha256: sha256(WEIGHTS) }, { sha256: sha256(BIAS) }, undefined],
};
const blocks = (i: number) => {
  const { dtype, shape, data } = TENSORS[i]!;
  return encodeTensor(dtype, shape, data).map(({ payload }) => frame(FRAME.block, payload));
};
const FRAMES: readonly (readonly [Part, number, Uint8Array])[] = [
  ['sideFiles', 0, frame(FRAME.sideFile, deflate(CONFIG))],
  ['weightHeaders', 0, frame(FRAME.weightHeader, deflate(HEADER))],
  ...blocks(0).map((whole) => ['tensors', 0, whole] as const),
  ...blocks(1).map((whole) => ['tensors', 1, whole] as const),
];

class MemorySink implements Sink {
  readonly pieces: Uint8Array[] = [];
  async write(bytes: Uint8Array) {
    this.pieces.push(bytes.slice());
  }
  get bytes() {
    return concatenate(this.pieces);
  }
}

/** Writes the file. @param left what is in the sink already. @param finished its frames behind the manifest. */
async function written(left = new Uint8Array(), finished: readonly FinishedFrame[] = []) {
  const sink = new MemorySink();
  if (left.length) await sink.write(left);
  const writer = new WpkWriter(sink, 'model.wpk', manifest);
  if (!left.length) await writer.begin();
  for (const [i, [part, index, whole]] of FRAMES.entries())
    await writer.append(part, index, finished[i] ?? whole);
  const lengths = await writer.finish(facts);
  return { bytes: sink.bytes, lengths };
}

describe('the writer of .wpk files', () => {
  test('writes what the reader gives back', async () => {
    const { bytes } = await written();
    const model = await WpkModel.open(new CountingSource('model.wpk', bytes));
    for (const { name, data } of TENSORS) expect(same(await model.readTensor(name), data)).toBe(true);
    expect(await model.sideFiles[0]!.read()).toEqual(CONFIG);
    const { container } = model;
    const [file] = container.directory.weightFiles;
    expect(concatenate(await container.header(file!))).toEqual(HEADER);
    expect(file!.sha256).toBe(sha256(weightFile));
    expect(container.directory.tensors.map(({ sameAs }) => sameAs)).toEqual([undefined, undefined, 0]);
    await container.checkManifest();
  });

  test('returns the bytes that it has written, and the parts that make them up', async () => {
    const { bytes, lengths } = await written();
    const { file, ...parts } = lengths;
    expect(file).toBe(bytes.length);
    expect(Object.values(parts).reduce((sum, length) => sum + length, 0)).toBe(file);
    expect(parts).toMatchObject({
      front: frontOf(manifest).length,
      sideFiles: FRAMES[0]![2].length,
      tables: 0,
    });
  });

  test('gives the same file when it goes on from what an interrupted run has left', async () => {
    const { bytes } = await written();
    const front = frontOf(manifest);
    let resumed = 0;
    for (let left = front.length; left < bytes.length; left += 9973) {
      const partial = bytes.subarray(0, left);
      const { frames, end } = await readFinished(new CountingSource('partial', partial), front);
      expect(end).toBeLessThanOrEqual(left);
      resumed += frames.length;
      expect(same((await written(bytes.slice(0, end), frames)).bytes, bytes)).toBe(true);
    }
    expect(resumed).toBeGreaterThan(FRAMES.length);
  });

  test('rewrites the end when the sink was cut back to where the directory begins', async () => {
    const sink = new MemorySink();
    const writer = new WpkWriter(sink, 'model.wpk', manifest);
    await writer.begin();
    for (const [part, index, whole] of FRAMES) await writer.append(part, index, whole);
    await writer.finish({ ...facts, quality: { perplexity: 12.5 } });
    const back = sink.bytes.slice(0, writer.directoryStart);
    sink.pieces.splice(0, sink.pieces.length, back);
    await writer.finish(facts);
    expect(same(sink.bytes, (await written()).bytes)).toBe(true);
  });

  test('refuses a directory that no reader would take, before it is written', async () => {
    const sink = new MemorySink();
    const writer = new WpkWriter(sink, 'model.wpk', manifest);
    await writer.begin();
    for (const [part, index, whole] of FRAMES) await writer.append(part, index, whole);
    const before = sink.bytes.length;
    const wrong = { ...facts, weightFiles: [{ sha256: 'none' }] };
    await expect(writer.finish(wrong)).rejects.toThrow(/sha256 of model.safetensors is not a SHA-256/);
    const missing = { ...facts, tensors: [facts.tensors[0], undefined, undefined] };
    await expect(writer.finish(missing)).rejects.toThrow(/directory is malformed/);
    expect(sink.bytes.length).toBe(before);
  });

  test('refuses parts in another order than that of the file', async () => {
    const writer = new WpkWriter(new MemorySink(), 'model.wpk', manifest);
    await writer.append('tensors', 1, FRAMES.at(-1)![2]);
    await expect(writer.append('tensors', 0, FRAMES[2]![2])).rejects.toThrow(/written out of order/);
    await expect(writer.append('sideFiles', 0, FRAMES[0]![2])).rejects.toThrow(/written out of order/);
  });
});

describe('a candidate', () => {
  const place = folder({
    'model/model.safetensors': safetensors([f32('weights', [64, 64], new Float32Array(noise(4096).buffer))]),
    'model/config.json': '{"model_type":"test"}',
  });
  const output = join(place, 'model.wpk');

  async function written(path: string, limit = {}) {
    const model = (await open(join(place, 'model'))) as StoredModel;
    const manifest = await describeFiles(model, {});
    const candidate = new Candidate(path, model, manifest, { force: true, threads: 0 });
    await writeLossless(candidate, model, model.tensors, () => {}, limit);
    return { model, candidate, bytes: await candidate.size() };
  }

  test('has the bytes that the finished file has, and is decoded once for them', async () => {
    const { model, candidate, bytes } = await written(output);
    expect(statSync(candidate.partialPath).size).toBe(bytes);
    const readTensor = vi.spyOn(model, 'readTensor');
    expect(await candidate.finish(undefined, bytes)).toBe(bytes);
    expect(readTensor).not.toHaveBeenCalled();
    expect(statSync(output).size).toBe(bytes);
    await model.close();
  });

  test.each(['predictions', 'embeddings'])(
    'grows by its quality of %s, by no more than what is reserved for it',
    async (kind) => {
      const number = () => -(1 + random()) * 1e-6; // none are longer in JSON
      const estimate = () => ({ mean: number(), standardError: number() });
      const perplexity = () => ({ perplexity: number(), standardError: number(), nll: estimate() });
      const sentenceMeasure = () => ({ ...estimate(), median: number(), p1: number(), min: number() });
      const embeddings = {
        model: output,
        kind: 'embedding',
        against: 'model',
        sentences: 12_345,
        tokens: 25_282_560,
        dimensions: 4096,
        meanByDefault: false,
        cosine: sentenceMeasure(),
        rank: sentenceMeasure(),
      } as const;
      const isOfEmbeddings = kind === 'embeddings';
      const predictions = {
        model: output,
        kind: 'causal',
        windows: 12_345,
        window: 2048,
        tokens: 25_282_560,
        ...perplexity(),
        against: 'model',
        reference: perplexity(),
        nllDifference: estimate(),
        kl: { ...estimate(), median: number(), p99: number(), max: number() },
        top1: { agreement: number(), standardError: number() },
      } as const;
      const name = '\u65e5\u672c\u8a9e';
      const quality = qualityReport(isOfEmbeddings ? embeddings : predictions, { name });
      const { model, candidate, bytes } = await written(output);
      const grown = (await candidate.finish(quality)) - bytes;
      expect(grown).toBeGreaterThan(isOfEmbeddings ? 200 : 300);
      expect(grown).toBeLessThanOrEqual(maxReportBytes(name, isOfEmbeddings));
      await model.close();
      const compressed = await WpkModel.open(await openFile(output));
      expect(compressed.container.directory.quality).toEqual(quality);
      await compressed.close();
    },
  );

  test('over its budget gets no name: that is an error of the program', async () => {
    const path = join(place, 'other.wpk');
    const { model, candidate, bytes } = await written(path);
    const error = await candidate.finish(undefined, bytes - 1).catch((error) => error);
    expect(error.message).toMatch(`has ${bytes} bytes, over its budget of ${bytes - 1}`);
    expect(isInputError(error)).toBe(false);
    expect(existsSync(path)).toBe(false);
    await Promise.all([candidate.discard(), model.close()]);
    expect(leftovers(path)).toEqual([]);
  });

  test('is not written beyond the most that it may have', async () => {
    const { model, candidate, bytes } = await written(output, { maxBytes: 1000 });
    expect(bytes).toBe(Number.POSITIVE_INFINITY);
    expect(statSync(candidate.partialPath).size).toBeLessThan(40_000);
    await Promise.all([candidate.discard(), model.close()]);
  });
});
