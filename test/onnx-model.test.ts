// ONNX files as exporters and quantizers write them: stored tensor by tensor, opened as models. The onnx package is the oracle.
import { createHash } from 'node:crypto';
import { cpSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { listWeights } from '../src/browser/listing/listing.js';
import { sampledHistogram } from '../src/browser/listing/sample.js';
import { analyze, compress, decompress, type Model, open } from '../src/index.js';
import { openFile } from '../src/io/node/file.js';
import { readOnnx } from '../src/models/onnx/header.js';
import { weightpress } from './helpers/cli.js';
import { HubServer } from './helpers/hub-server.js';
import { EXPECTED, filesIn, floats, initializer, ONNX, onnx, roundTrip } from './helpers/onnx.js';
import { CountingSource, folder, seededRandom } from './helpers/safetensors.js';

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

/** Checks that a model has the tensors of a file, with the same bytes. */
async function checkTensors(model: Model, file: string): Promise<void> {
  const numeric = EXPECTED[file]!.filter(({ type }) => type !== 'STRING');
  expect(model.tensors.map(({ name }) => name)).toEqual(numeric.map(({ name }) => name));
  for (const { name, sha256: digest } of numeric)
    expect(sha256(await model.readTensor(name)), `${file}, ${name}`).toBe(digest);
}

describe('an ONNX file', () => {
  it.each(Object.keys(EXPECTED))('%s has the tensors that the onnx package reads', async (file) => {
    const source = await openFile(join(ONNX, file));
    const { tensors } = await readOnnx(source);
    await source.close();
    expect(tensors.map(({ name, type, shape }) => ({ name, type, shape }))).toEqual(
      EXPECTED[file]!.map(({ name, type, shape }) => ({ name, type, shape })),
    );
    await using model = await open(join(ONNX, file));
    expect(model.kind).toBe('onnx');
    await checkTensors(model, file);
  });

  /** What each takes at most, in percent: a byte more is a change to look at. zstd -19 takes 91.6 of the first. */
  it.each([
    ['torchscript.onnx', 83.4],
    ['fp16.onnx', 84.5],
    ['int8-dynamic.onnx', 86],
    ['int8-qdq.onnx', 66],
    ['q4.onnx', 87.6],
    ['q4-qdq.onnx', 87.5],
    ['hand.onnx', 81.3],
  ])('%s comes back in %d percent of its bytes', async (file, percent) => {
    const { wpk, summary, files } = await roundTrip(join(ONNX, file));
    const original = readFileSync(join(ONNX, file));
    expect(files[file]!.equals(original)).toBe(true);
    expect((100 * summary.fileBytes) / original.length).toBeLessThan(percent);
    expect(summary.weightFiles).toMatchObject([{ name: file }]);
    await using model = await open(wpk);
    await checkTensors(model, file);
  });

  it.each([
    ['dynamo', 83],
    ['external', 83.4],
    ['external-each', 83.5],
    ['shared', 85],
  ])('with external data, %s, comes back in %d percent of its bytes', async (name, percent) => {
    const { wpk, summary, files } = await roundTrip(join(ONNX, name));
    const original = filesIn(join(ONNX, name));
    expect(files).toEqual(original);
    const bytes = Object.values(original).reduce((sum, { length }) => sum + length, 0);
    expect((100 * summary.fileBytes) / bytes).toBeLessThan(percent);
    if (name === 'shared') return; // of two models, and opened as neither
    await using model = await open(wpk);
    await checkTensors(model, `${name}/model.onnx`);
  });

  it('alone takes its external data along, by path and opened', async () => {
    const path = join(ONNX, 'external-each/model.onnx');
    const original = filesIn(dirname(path));
    const { files, wpk } = await roundTrip(path);
    expect(files).toEqual(original);
    await using again = await open(wpk);
    await checkTensors(again, 'external-each/model.onnx');
    const place = folder();
    await using model = await open(path);
    await compress(model, join(place, 'm.wpk'), { threads: 0 });
    await decompress(join(place, 'm.wpk'), join(place, 'out'), { threads: 0 });
    expect(filesIn(join(place, 'out'))).toEqual(original);
  });

  it('does not let an output replace its external data', async () => {
    const place = folder();
    cpSync(join(ONNX, 'shared'), place, { recursive: true });
    const output = join(place, 'weights.pb');
    await expect(compress(join(place, 'encoder.onnx'), output, { threads: 0, force: true })).rejects.toThrow(
      /the output is the input/,
    );
    expect(readFileSync(output).equals(readFileSync(join(ONNX, 'shared/weights.pb')))).toBe(true);
  });

  it('of 4-bit weights takes the entropy of its nibbles', async () => {
    const random = seededRandom(9);
    const levels = Uint8Array.from(floatsOf(2 ** 21, random), (value) =>
      Math.max(0, Math.min(15, Math.round(8 + value * 120))),
    );
    const packed = Uint8Array.from({ length: 2 ** 20 }, (_, i) => levels[2 * i]! | (levels[2 * i + 1]! << 4));
    const bins = new Float64Array(16);
    for (const level of levels) bins[level]!++;
    const entropy = bins.reduce((sum, n) => (n ? sum - n * Math.log2(n / levels.length) : sum), 0) / 8;
    const [number, fields] = initializer('w', [2 ** 15, 2, 16], packed);
    const uint8 = (fields as [number, number | string][]).map(
      ([field, value]) => [field, field === 2 ? 2 : value] as const,
    );
    const { summary } = await roundTrip(join(folder({ 'm.onnx': onnx([number, uint8]) }), 'm.onnx'));
    const [tensor] = summary.tensors;
    expect(tensor!.compressedBytes / entropy).toBeLessThan(1.003);
  });

  it('in a folder of the Hub is its model, if it has no other', async () => {
    const place = folder({ 'config.json': '{"model_type":"bert"}' });
    cpSync(join(ONNX, 'external'), join(place, 'onnx'), { recursive: true });
    await using model = await open(place);
    expect(model).toMatchObject({ kind: 'onnx', config: { model_type: 'bert' } });
    await checkTensors(model, 'external/model.onnx');
    const { wpk } = await roundTrip(place);
    await using again = await open(wpk);
    await checkTensors(again, 'external/model.onnx');
    expect(again.config).toEqual({ model_type: 'bert' });
    cpSync(join(ONNX, 'fp16.onnx'), join(place, 'onnx/model_fp16.onnx'));
    await using same = await open(place);
    expect(same.tensors.length).toBe(model.tensors.length);
    const several = folder();
    cpSync(join(ONNX, 'shared'), join(several, 'onnx'), { recursive: true });
    await expect(open(several)).rejects.toThrow(/several files of weights.*onnx\/decoder\.onnx/);
  });

  it('is analyzed: weights in 4 bits count as weights', async () => {
    await using model = await open(join(ONNX, 'q4.onnx'));
    const { tensors, parameters } = await analyze(model);
    const packed = tensors.filter(({ holds }) => holds);
    expect(packed.map(({ holds }) => [holds!.encoding, holds!.shape])).toEqual([
      ['MatMulNBits, 4 bits', [96, 64]],
      ['MatMulNBits, 4 bits', [64, 96]],
      ['MatMulNBits, 4 bits', [64, 64]],
    ]);
    expect(parameters.stored).toBeGreaterThan(96 * 64 * 2 + 64 * 64 * 2);
    expect(tensors.find(({ name }) => name === 'wte.weight')!.exponentBits).toBeGreaterThan(2);
  });

  it('is shown by the command line, and not run', () => {
    const path = join(ONNX, 'q4.onnx');
    const shown = weightpress('analyze', path, '--tensors');
    expect(shown.stdout).toMatch(/onnx::MatMul_58_Q4 +MatMulNBits, 4 bits +96x64/);
    for (const command of [
      ['generate', path, 'text'],
      ['evaluate', path, '--text', 'README.md'],
      ['compress', path, join(folder(), 'x.wpk'), '--bits', '4', '--no-calibration'],
    ]) {
      const { status, stderr } = weightpress(...command);
      expect(stderr).toMatch(
        /^weightpress: .*is an ONNX model: its tensors are read, but its graph is not run.*\n$/,
      );
      expect(status).toBe(2);
    }
  });
});

describe('on the Hub', () => {
  it('a file takes its external data along, alone and in its repository', async () => {
    const hub = await HubServer.start();
    const before = { HF_ENDPOINT: process.env.HF_ENDPOINT, HF_HOME: process.env.HF_HOME };
    try {
      const files = filesIn(join(ONNX, 'external'));
      hub.add('someone/model', {
        'config.json': '{}',
        ...Object.fromEntries(Object.entries(files).map(([name, bytes]) => [`onnx/${name}`, bytes])),
      });
      Object.assign(process.env, { HF_ENDPOINT: hub.endpoint, HF_HOME: folder() });
      expect((await roundTrip('someone/model/onnx/model.onnx')).files).toEqual(files);
      const whole = await roundTrip('someone/model');
      expect(Object.keys(whole.files)).toEqual(['config.json', 'onnx/model.onnx', 'onnx/model.onnx_data']);
      expect(whole.summary.tensors.length).toBeGreaterThan(3);
      await using model = await open('someone/model/onnx/model.onnx');
      await checkTensors(model, 'external/model.onnx');
    } finally {
      for (const [name, value] of Object.entries(before))
        if (value === undefined) delete process.env[name];
        else process.env[name] = value;
      await hub.stop();
    }
  });
});

/** Numbers near 0.02 times those of a normal distribution. */
const floatsOf = (count: number, random: () => number) => new Float32Array(floats(count, random).buffer);

describe('a listing of ONNX', () => {
  it('has values of elements in other files, if they are given', async () => {
    const file = (name: string) => new CountingSource(name, readFileSync(join(ONNX, 'external', name)));
    const alone = await listWeights(file('model.onnx'));
    expect(alone.warning).toMatch(/model\.onnx_data/);
    const both = await listWeights(file('model.onnx'), undefined, async (name) => file(name));
    expect(both.warning).toBeUndefined();
    const weight = both.tensors.find(({ name }) => name === 'wte.weight')!;
    expect(weight.note).toBe('in model.onnx_data');
    expect((await sampledHistogram(weight.open())).moments!.notFinite).toBe(0);
    expect(() => alone.tensors.find(({ name }) => name === 'wte.weight')!.open()).toThrow(/another file/);
  });

  it('has values that are coded one by one', async () => {
    const { tensors } = await listWeights(
      new CountingSource('hand.onnx', readFileSync(join(ONNX, 'hand.onnx'))),
    );
    const values = async (name: string) =>
      (await sampledHistogram(tensors.find((tensor) => tensor.name === name)!.open())).moments;
    expect(await values('fields.int32')).toMatchObject({ min: -(2 ** 31), max: 2 ** 31 });
    expect((await values('fields.half'))!.max).toBeLessThan(1);
  });
});
