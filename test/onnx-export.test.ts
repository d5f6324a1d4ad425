// ONNX files for transformers.js: graphs of whole models, compared with the reference implementation in ONNX Runtime itself.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Model } from '../src/core/model.js';
import '../src/onnx/node/no-telemetry.js';
import { makeOnnxFiles, type OnnxFileOptions } from '../src/transformers-js/onnx-files.js';
import { FAMILIES, RUNNABLE } from './helpers/fixtures.js';
import { expectedOf, largestDifference } from './helpers/logits.js';
import { MemoryModel } from './helpers/memory-model.js';
import { folder } from './helpers/safetensors.js';

const ort = await import('onnxruntime-node');

type Session = Awaited<ReturnType<typeof ort.InferenceSession.create>>;
type Feeds = Record<string, InstanceType<typeof ort.Tensor>>;

const int64 = (values: readonly number[], dims: readonly number[]) =>
  new ort.Tensor('int64', BigInt64Array.from(values, BigInt), dims);

/** Writes a model's ONNX files and loads them as users do, from disk. */
async function load(model: MemoryModel, options: Partial<OnnxFileOptions> = {}): Promise<Session> {
  const { files } = await makeOnnxFiles(model as unknown as Model, { dtype: 'fp32', ...options });
  const path = folder();
  for (const { name, lengthBytes, chunks } of files) {
    const parts: Uint8Array[] = [];
    for await (const chunk of chunks()) parts.push(chunk);
    const bytes = Buffer.concat(parts);
    expect(bytes.length, name).toBe(lengthBytes);
    mkdirSync(dirname(join(path, name)), { recursive: true });
    writeFileSync(join(path, name), bytes);
  }
  return ort.InferenceSession.create(join(path, files[0]!.name), { logSeverityLevel: 3 });
}

/** What transformers.js feeds: tokens with `padding` zeros before or behind, and positions that do not count padding. */
function feedsOf(session: Session, tokens: readonly number[], before = 0, behind = 0): Feeds {
  const length = before + tokens.length + behind;
  const zeros = (count: number) => new Array(count).fill(0);
  const all: Feeds = {
    input_ids: int64([...zeros(before), ...tokens, ...zeros(behind)], [1, length]),
    attention_mask: int64([...zeros(before), ...tokens.map(() => 1), ...zeros(behind)], [1, length]),
    position_ids: int64([...new Array(before).fill(1), ...tokens.keys()], [1, length - behind]),
    token_type_ids: int64(zeros(length), [1, length]),
    num_logits_to_keep: int64([0], []),
  };
  for (const { name, shape } of session.inputMetadata as { name: string; shape: (number | string)[] }[])
    if (name.startsWith('past')) {
      const dims = shape.map((size) => (size === 'batch_size' ? 1 : typeof size === 'string' ? 0 : size));
      all[name] = new ort.Tensor('float32', new Float32Array(dims.reduce((a, b) => a * b, 1)), dims);
    }
  return Object.fromEntries(session.inputNames.map((name) => [name, all[name]!]));
}

const dynamic = ['llama_dynamic'];

describe('logits of the reference implementation', () => {
  it.each(RUNNABLE.filter((name) => !dynamic.includes(name)))('%s', async (name) => {
    const { inputs, logits } = expectedOf(name, FAMILIES);
    const session = await load(await MemoryModel.of(join(FAMILIES, name)));
    const isCausal = session.inputNames.includes('num_logits_to_keep');
    const vocabulary = logits.length / inputs.flat().length;
    let at = 0;
    for (const tokens of inputs) {
      const expected = logits.subarray(at, at + tokens.length * vocabulary);
      at += expected.length;
      const whole = await session.run(feedsOf(session, tokens));
      const difference = largestDifference(whole.logits!.data as Float32Array, expected);
      expect(difference, 'whole').toBeLessThan(1e-3);
      const [before, behind] = isCausal ? [3, 0] : [0, 3];
      const padded = await session.run(feedsOf(session, tokens, before, behind));
      const rows = (padded.logits!.data as Float32Array).subarray(before * vocabulary);
      const own = rows.subarray(0, expected.length);
      expect(largestDifference(own, expected), 'padded').toBeLessThan(1e-3);
      if (isCausal) await stepByStep(session, tokens, expected, vocabulary);
    }
    await session.release();
  });
});

/** Reads half of the tokens, then one at a time with the cache. */
async function stepByStep(
  session: Session,
  tokens: readonly number[],
  expected: Float32Array,
  vocabulary: number,
): Promise<void> {
  let cache: Feeds = {};
  const half = Math.floor(tokens.length / 2);
  for (let end = half, start = 0; end <= tokens.length; start = end, end++) {
    const feeds = {
      ...feedsOf(session, tokens.slice(start, end)),
      ...cache,
      attention_mask: int64(new Array(end).fill(1), [1, end]),
      num_logits_to_keep: int64([1], []),
    };
    if (feeds.position_ids)
      feeds.position_ids = int64(
        Array.from({ length: end - start }, (_, i) => start + i),
        [1, end - start],
      );
    const { logits, ...present } = await session.run(feeds);
    const last = expected.subarray((end - 1) * vocabulary, end * vocabulary);
    expect(largestDifference(logits!.data as Float32Array, last), `token ${end}`).toBeLessThan(1e-3);
    cache = Object.fromEntries(
      Object.entries(present).map(([name, value]) => [
        name.replace('present_conv', 'past_conv').replace('present.', 'past_key_values.'),
        value as Feeds[string],
      ]),
    );
  }
}
