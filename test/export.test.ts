import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { readFloats } from '../src/core/floats.js';
import { evaluateOnnx } from '../src/evaluation/onnx.js';
import { exportOnnx, generate, ONNX_DTYPES, open } from '../src/index.js';
import { loadRuntime } from '../src/onnx/node/runtime.js';
import { floatsOf } from '../src/onnx/runtime.js';
import { heldOutOf } from '../src/quantization/calibration/calibrate.js';
import { makeOnnxFiles } from '../src/transformers-js/onnx-files.js';
import { OnnxModel } from '../src/transformers-js/onnx-model.js';
import { complaint, weightpress } from './helpers/cli.js';
import { asModel, tinyModel, withTokenizer } from './helpers/gguf.js';
import { expectedOf, largestDifference } from './helpers/logits.js';
import { f32, folder, safetensors } from './helpers/safetensors.js';

const place = folder();
const at = (name: string) => join(place, name);
const TINY = 'examples/gpt-neo-tiny';
const wpk = at('tiny.wpk');

beforeAll(() => {
  expect(weightpress('compress', TINY, '-o', wpk).status).toBe(0);
});

const write = (output: string, ...args: string[]) =>
  weightpress('decompress', wpk, '-o', at(output), ...args);

describe('decompress to safetensors', () => {
  test.each(['F32', 'F16', 'BF16'] as const)(
    '--dtype %s: every weight rounded, the config says so',
    async (dtype) => {
      const out = `as-${dtype}`;
      expect(write(out, '--dtype', dtype)).toMatchObject({ status: 0, stderr: '' });
      const [there, here] = [await open(at(out)), await open(TINY)];
      expect(there.tensors.map(({ name, shape }) => [name, shape])).toEqual(
        here.tensors.map(({ name, shape }) => [name, shape]),
      );
      for (const tensor of there.tensors) {
        expect(tensor.dtype).toBe(dtype);
        const original = here.tensors.find(({ name }) => name === tensor.name)!;
        const [rounded, exact] = [await readFloats(there, tensor), await readFloats(here, original)];
        const share = { F32: 0, F16: 2 ** -11, BF16: 2 ** -8 }[dtype];
        // of float16 the smallest numbers are 2^-24 apart
        const worst = exact.reduce(
          (most, value, i) => Math.max(most, Math.abs(rounded[i]! - value) - Math.abs(value) * share),
          0,
        );
        expect(worst).toBeLessThanOrEqual(dtype === 'F16' ? 2 ** -25 : 0);
      }
      const { dtype: name, torch_dtype } = JSON.parse(readFileSync(at(`${out}/config.json`), 'utf8'));
      expect(name ?? torch_dtype).toBe({ F32: 'float32', F16: 'float16', BF16: 'bfloat16' }[dtype]);
      expect(existsSync(at(`${out}/tokenizer.json`))).toBe(true);
      await Promise.all([there.close(), here.close()]);
    },
  );

  test('files in subfolders come along, and a config that only Python reads stays as it is but for the type', () => {
    const config =
      '{"torch_dtype": "float32", "eps": NaN, "max": Infinity, "text_config": {"dtype": "bfloat16"}}';
    const from = folder({
      'model.safetensors': safetensors([f32('w', [2], [1, 2])]),
      'config.json': config,
      '1_Pooling/config.json': '{"mean": true}',
    });
    expect(weightpress('decompress', from, '-o', at('nested'), '--dtype', 'F16')).toMatchObject({
      status: 0,
    });
    expect(readFileSync(at('nested/1_Pooling/config.json'), 'utf8')).toBe('{"mean": true}');
    expect(readFileSync(at('nested/config.json'), 'utf8')).toBe(
      config.replace('float32', 'float16').replace('bfloat16', 'float16'),
    );
  });

  test('--shard-size: files and an index that say the same, read back as the same model', {
    tags: 'slow',
  }, async () => {
    expect(write('shards', '--shard-size', '1MB')).toMatchObject({ status: 0, stderr: '' });
    const shards = readdirSync(at('shards')).filter((name) => name.endsWith('.safetensors'));
    const count = String(shards.length).padStart(5, '0');
    expect(shards.length).toBeGreaterThan(2);
    expect(shards[0]).toBe(`model-00001-of-${count}.safetensors`);
    const index = JSON.parse(readFileSync(at('shards/model.safetensors.index.json'), 'utf8'));
    const [there, here] = [await open(at('shards')), await open(TINY)];
    const total = here.tensors.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0);
    expect(index.metadata.total_size).toBe(total);
    const largest = Math.max(...here.tensors.map(({ lengthBytes }) => lengthBytes));
    for (const shard of shards)
      expect(statSync(at(`shards/${shard}`)).size).toBeLessThan(Math.max(1e6, largest) + 10_000);
    for (const { name } of here.tensors)
      expect(await there.readTensor(name)).toEqual(await here.readTensor(name));
    await Promise.all([there.close(), here.close()]);
    // and back to one file, which has no index
    const args = ['decompress', at('shards'), '-o', at('whole'), '--format', 'safetensors'];
    expect(weightpress(...args).status).toBe(0);
    expect(readdirSync(at('whole')).filter((name) => /safetensors/.test(name))).toEqual([
      'model.safetensors',
    ]);
  });

  test('refuses weights out of range for F16 by name, and leaves no output', () => {
    const data = new Uint8Array(Float32Array.of(1, 1e6).buffer);
    writeFileSync(at('large.safetensors'), safetensors([{ name: 'w', dtype: 'F32', shape: [2], data }]));
    const args = ['decompress', at('large.safetensors'), '-o', at('large')];
    const said = complaint(weightpress(...args, '--dtype', 'F16'));
    expect(said).toMatchObject({ status: 2, lines: 1, stack: false });
    expect(said.message).toMatch(/tensor "w".*1000000 is out of range for F16/);
    expect(readdirSync(place).filter((name) => /^large($|\..*partial$)/.test(name))).toEqual([]);
    expect(weightpress(...args, '--dtype', 'BF16').status).toBe(0);
  });
});

describe('decompress to GGUF', () => {
  test.each(['F16', 'BF16', 'Q8_0', undefined])('--dtype %s: opens and generates', async (dtype) => {
    const memory = withTokenizer(tinyModel('llama'));
    const model = at('llama');
    mkdirSync(model, { recursive: true });
    const opened = asModel(memory);
    const tensors = await Promise.all(
      opened.tensors.map(async ({ name, shape }) => ({
        name,
        dtype: 'F32',
        shape,
        data: await opened.readTensor(name),
      })),
    );
    writeFileSync(join(model, 'model.safetensors'), safetensors(tensors));
    writeFileSync(join(model, 'config.json'), JSON.stringify(opened.config));
    for (const { name, read } of opened.sideFiles) writeFileSync(join(model, name), await read());
    expect(weightpress('compress', model, '-o', at('llama.wpk'), '--force').status).toBe(0);
    const out = at(`llama-${dtype}.gguf`);
    const flags = dtype === undefined ? [] : ['--dtype', dtype];
    const said = weightpress('decompress', at('llama.wpk'), '-o', out, '--format', 'gguf', ...flags);
    expect(said).toMatchObject({ status: 0, stderr: '' });
    const gguf = await open(out);
    expect(gguf.kind).toBe('gguf');
    expect((await generate(gguf, [46, 57], { maxTokens: 4, endTokens: [] })).tokens).toHaveLength(4);
    await exportOnnx(gguf, at(`llama-${dtype}-onnx`), { dtypes: ['q8'] });
    expect(readdirSync(at(`llama-${dtype}-onnx`))).toEqual(
      expect.arrayContaining(['config.json', 'onnx', 'tokenizer.json', 'tokenizer_config.json']),
    );
    await gguf.close();
  });

  test('of what llama.cpp does not have is refused in one line', () => {
    const said = complaint(write('x.gguf', '--format', 'gguf'));
    expect(said).toMatchObject({ status: 2, lines: 1, stack: false });
    expect(said.message).toMatch(/unsupported model_type gpt_neo for GGUF, expected one of /);
    expect(existsSync(at('x.gguf'))).toBe(false);
  });
});

describe('decompress to ONNX', () => {
  test('every type makes a graph and its data, each smaller than the last', async () => {
    await using model = await open(TINY);
    const files = await exportOnnx(model, at('all'), { dtypes: ONNX_DTYPES });
    expect(files.map(({ dtype }) => dtype)).toEqual(['fp32', 'fp16', 'q8', 'q4']);
    expect(readdirSync(at('all/onnx'))).toHaveLength(8);
    const sizes = files.map(({ bytes }) => bytes);
    expect(sizes).toEqual(sizes.toSorted((a, b) => b - a));
  });

  test('types in one folder, with config and tokenizer', () => {
    const flags = ['--format', 'onnx', '--dtype', 'fp16,q4', '--no-calibration'];
    const { status, stdout, stderr } = write('onnx', ...flags);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toMatch(
      /^fp16: 2\.73 MB, weights rounded to float16\nq4: 1\.10 MB, lossy\nthe loss was not measured/,
    );
    expect(readdirSync(at('onnx/onnx')).sort()).toEqual([
      'model_fp16.onnx',
      'model_fp16.onnx_data',
      'model_q4.onnx',
      'model_q4.onnx_data',
    ]);
    const config = JSON.parse(readFileSync(at('onnx/config.json'), 'utf8'));
    expect(config['transformers.js_config']).toEqual({
      use_external_data_format: { 'model_fp16.onnx': 1, 'model_q4.onnx': 1 },
    });
    for (const name of ['tokenizer.json', 'tokenizer_config.json', 'generation_config.json'])
      expect(existsSync(at(`onnx/${name}`)), name).toBe(true);
  });

  test('what belongs to other weight files stays behind: an index of shards, other ONNX files', () => {
    expect(write('in-shards', '--format', 'safetensors', '--shard-size', '1MB').status).toBe(0);
    mkdirSync(at('in-shards/onnx'));
    for (const name of ['model.onnx', 'model.onnx_data', 'model_bnb4.onnx'])
      writeFileSync(at(`in-shards/onnx/${name}`), 'of another program');
    expect(weightpress('compress', at('in-shards'), '-o', at('in-shards.wpk')).status).toBe(0);
    for (const [i, from] of ['in-shards', 'in-shards.wpk'].entries()) {
      const said = weightpress('decompress', at(from), '-o', at(`of-shards-${i}`), '--format', 'onnx');
      expect(said).toMatchObject({ status: 0, stderr: '' });
      expect(readdirSync(at(`of-shards-${i}`))).not.toContain('model.safetensors.index.json');
      expect(readdirSync(at(`of-shards-${i}/onnx`))).toEqual(['model.onnx', 'model.onnx_data']);
      expect(statSync(at(`of-shards-${i}/onnx/model.onnx_data`)).size).toBeGreaterThan(5e6);
    }
  });

  test('packed weights are floats, and the config does not name the packing', async () => {
    await using model = await open('fixtures/packed/fp8-row');
    await exportOnnx(model, at('of-packed'));
    const config = JSON.parse(readFileSync(at('of-packed/config.json'), 'utf8'));
    expect(config).not.toHaveProperty('quantization_config');
    expect(config.model_type).toBe('llama');
    const { inputs } = await makeOnnxFiles(model, { dtype: 'fp32' });
    const runtime = await loadRuntime();
    const onnx = new OnnxModel(runtime, await runtime.file(at('of-packed/onnx/model.onnx')), inputs);
    const { inputs: tokens, logits } = expectedOf('fp8-row', 'fixtures/packed');
    const found = floatsOf((await onnx.run(tokens[0]!)).logits);
    await onnx.release();
    expect(largestDifference(found, logits.subarray(0, found.length))).toBeLessThan(1e-3);
  });

  test('codes chosen with statistics lose less than rounded ones, on the same text', {
    tags: 'slow',
  }, async () => {
    const text = 'fixtures/text/calibration.txt';
    const statistics = ['--statistics', at('statistics'), '--calibration-tokens', '8192'];
    const flags = ['--format', 'onnx', '--dtype', 'q4', '--calibrate', text, ...statistics, '--json'];
    const said = weightpress('decompress', TINY, '-o', at('chosen'), ...flags);
    expect(said.status).toBe(0);
    const [{ quality: chosen }] = JSON.parse(said.stdout).files;
    const other = ['--threads', '1', '--force', '--dtype', 'q8,q4']; // the token table has 8 bits in both files
    const again = weightpress('decompress', TINY, '-o', at('again'), ...flags, ...other);
    expect(again.status).toBe(0);
    const data = 'onnx/model_q4.onnx_data';
    expect(readFileSync(at(`again/${data}`)).equals(readFileSync(at(`chosen/${data}`)))).toBe(true);
    await using model = await open(TINY);
    await exportOnnx(model, at('rounded'), { dtypes: ['q4'] });
    const { inputs } = await makeOnnxFiles(model, { dtype: 'q4' });
    const runtime = await loadRuntime();
    const onnx = new OnnxModel(runtime, await runtime.file(at('rounded/onnx/model_q4.onnx')), inputs);
    const source = { text: readFileSync(text, 'utf8'), name: '', tokens: 8192 };
    const heldOut = await heldOutOf(model, source);
    if (heldOut.kind !== 'tokens') throw new Error('expected tokens');
    const rounded = await evaluateOnnx(runtime, onnx, { ...heldOut, against: model });
    await onnx.release();
    expect(chosen.tokens).toBe(rounded.tokens);
    expect(chosen.against).toBe(TINY);
    expect(chosen.kl.mean).toBeLessThan(0.7 * rounded.kl!.mean);
  });
});

test.each([
  [['--dtype', 'Q8_0'], /needs --format gguf/],
  [['--dtype', 'q4'], /needs --format onnx/],
  [['--format', 'onnx', '--dtype', 'F16'], /needs --format safetensors or gguf/],
  [['--format', 'gguf', '--dtype', 'F16,BF16'], /several types only with --format onnx/],
  [['--format', 'onnx', '--shard-size', '1GB'], /begins a new file at 2 GB/],
  [['--calibrate', 'text.txt'], /--calibrate needs --format onnx with --dtype q8 or q4/],
  [['--format', 'onnx', '--statistics', 'x'], /--statistics needs/],
  [['--format', 'onnx', '--dtype', 'q4', '--no-calibration', '--calibrate', 'x'], /contradicts/],
  [['--format', 'gguf', '--shard-size', '1GB'], /one file/],
  [['--shard-size', 'big'], /expected a size/],
  [['--dtype', 'F8'], /F8/],
])('%j is refused', (flags, expected) => {
  const { status, stderr } = write('refused', ...flags);
  expect(status).toBe(2);
  expect(stderr).toMatch(expected);
  expect(existsSync(at('refused'))).toBe(false);
});
