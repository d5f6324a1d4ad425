// Files from jobs are those of one process, byte for byte. Here all jobs run in this process, in any order.
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { cutWindows } from '../src/evaluation/windows.js';
import type { CompressOptions } from '../src/index.js';
import { FleetExecution } from '../src/machines/execution.js';
import { loadRuntime } from '../src/onnx/node/runtime.js';
import { openModel } from '../src/open/open.js';
import { collectEmbeddingStatistics, collectStatistics } from '../src/quantization/calibration/collect.js';
import type { TokenizedText } from '../src/quantization/calibration/load-statistics.js';
import { MemoryStatistics } from '../src/quantization/calibration/memory-statistics.js';
import { FAMILIES, TINY } from './helpers/fixtures.js';
import { calibration, type Delivery, localFleet, sameBytes } from './helpers/fleet.js';
import { f32, folder, safetensors, seededRandom } from './helpers/safetensors.js';
import { embeddingFolder } from './helpers/sentences.js';

await loadRuntime(1); // small models are slower on more threads

const LOSSY = ['encode', 'matrix', 'measure', 'moments', 'windows'];

describe('the file of jobs in any order is that of one process', () => {
  it.each<[string, string, CompressOptions, Delivery]>([
    ['a causal model, to bits', 'gpt_neo', { budget: { bits: 7 } }, { order: 'reversed', twice: 'again' }],
    [
      'a masked model with shared layers, to a divergence',
      'albert',
      { budget: { kl: 0.03 } },
      { order: 2, twice: 'together' },
    ],
  ])('%s', { tags: 'slow' }, async (_, name, options, delivery) => {
    const kinds = await sameBytes(embeddingFolder(name), { ...options, calibration }, delivery);
    expect([...new Set(kinds)].sort()).toEqual(LOSSY);
  });

  it('a model without calibration', { tags: 'slow' }, async () => {
    const kinds = await sameBytes(
      embeddingFolder('albert'),
      { budget: { bits: 7 }, calibration: false },
      { order: 5 },
    );
    expect([...new Set(kinds)].sort()).toEqual(['encode', 'matrix']);
  });

  it('a folder without loss: several files, dtypes, duplicates, and what is no model', async () => {
    const path = mixedFolder();
    const kinds = await sameBytes(path, {}, { order: 'reversed', twice: 'together' });
    expect(new Set(kinds)).toEqual(new Set(['blocks']));
    expect(kinds.length).toBeGreaterThan(1);
  });
});

/** A folder with weights of several dtypes in several files, some of them twice, and other files. */
function mixedFolder(): string {
  const random = seededRandom(8);
  const bytes = (n: number) => Uint8Array.from({ length: n }, () => 256 * random() * random());
  const weights = f32(
    'w',
    [300, 1000],
    Float32Array.from({ length: 300_000 }, () => random() - 0.5),
  );
  const path = folder({
    'notes.bin': bytes(5000),
    'more/other.safetensors': safetensors([
      weights,
      { ...weights, name: 'again' },
      { name: 'half', dtype: 'F16', shape: [1000], data: bytes(2000) },
      { name: 'whole', dtype: 'I64', shape: [10, 10], data: bytes(800) },
      { name: 'codes', dtype: 'U8', shape: [70_000], data: bytes(70_000) },
      { name: 'none', dtype: 'F32', shape: [0, 3], data: bytes(0) },
    ]),
  });
  cpSync(TINY, path, { recursive: true });
  cpSync(join(path, 'model.safetensors'), join(path, 'copy.safetensors'));
  return path;
}

describe('statistics that jobs sum from the text in parts are those of one process, bit by bit', () => {
  const random = seededRandom(3);
  const tokens = (length: number) => Array.from({ length }, () => 5 + Math.floor(88 * random()));
  const windows = Array.from({ length: 96 }, () => tokens(48));
  const masked = { kind: 'masked', length: 48, vocabulary: 96, maskToken: 4 } as const;
  it.each<[string, string, TokenizedText]>([
    ['a causal model', 'gpt_neo', { windows }],
    ['a mixture of experts', 'mixtral', { windows }],
    ['a masked model with shared layers', 'albert', { windows: cutWindows(windows.flat(), masked) }],
    [
      'an embedding model',
      'st_bert_mean',
      { sentences: windows.slice(0, 48).map((window, i) => [2, ...window.slice(8 * (i % 6)), 3]), first: 0 },
    ],
  ])('%s', { tags: 'slow' }, async (_, name, text) => {
    const model = await openModel(join(FAMILIES, name));
    const one = new MemoryStatistics(0);
    const runtime = await loadRuntime();
    await ('windows' in text
      ? collectStatistics(runtime, model, text.windows, one)
      : collectEmbeddingStatistics(runtime, model, text, one));
    const { fleet, submitter } = await localFleet({ order: 6 });
    const many = await new FleetExecution(fleet).statistics('', model, { ...text, sha256: '' }, () => {});
    const jobs = submitter.delivered.filter(({ kind }) => kind === 'windows');
    expect(jobs.length).toBeGreaterThan(2);
    let found = 0;
    for (const { name: tensor } of model.tensors) {
      const moments = await many.tensor(tensor);
      found += moments.length;
      expect(moments, tensor).toEqual(await one.tensor(tensor));
    }
    expect(found).toBeGreaterThan(8);
    await fleet.close();
    await model.close();
  });
});
