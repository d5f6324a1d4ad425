import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, test } from 'vitest';
import { summaryTable } from '../src/cli/summary-table.js';
import { compress, decompress, exportSafetensors, inspect, open, verify } from '../src/index.js';
import { buildProgram } from '../src/inference/program.js';
import { modelCard } from '../src/operations/push/card.js';
import { complaint, weightpress } from './helpers/cli.js';
import { REAL_FOLDERS } from './helpers/real-folders.js';
import { f32, folder, safetensors, seededRandom, type TestTensor } from './helpers/safetensors.js';

// What is no model that can be read says what it is and what to do, in one line.

const TINY = 'examples/gpt-neo-tiny';
const POINTER = `version https://git-lfs.github.com/spec/v1
oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393
size 12345
`;
const IS_POINTER = /: is a git-lfs pointer, not the file: run git lfs pull$/;
const weights = (name = 'w') =>
  safetensors([f32(name, [8, 8], Float32Array.from({ length: 64 }, seededRandom(3)))]);

/** The message of what a promise is refused with. */
const refusal = (promise: Promise<unknown>) =>
  promise.then(
    () => 'not refused',
    (error: Error) => error.message,
  );
const opening = (path: string) => refusal(open(path).then((model) => model.close()));

describe('a git-lfs pointer', () => {
  it.each(['safetensors', 'bin', 'pt', 'ckpt', 'gguf', 'wpk'])('as the only file: .%s', async (extension) => {
    const path = join(folder({ [`model.${extension}`]: POINTER }), `model.${extension}`);
    expect(await opening(path)).toMatch(IS_POINTER);
    expect(await refusal(inspect(path))).toMatch(IS_POINTER);
    expect(await refusal(verify(path))).toMatch(IS_POINTER);
    expect(await refusal(decompress(path, join(folder(), 'out')))).toMatch(IS_POINTER);
  });

  it.each([
    'model.safetensors',
    'pytorch_model.bin',
    'model.safetensors.index.json',
    'pytorch_model.bin.index.json',
    'model-Q4_K_M.gguf',
  ])('as the weights of a folder: %s', async (name) => {
    expect(await opening(folder({ 'config.json': '{"model_type":"gpt2"}', [name]: POINTER }))).toMatch(
      IS_POINTER,
    );
  });

  it('as one shard of several', async () => {
    const path = folder({
      'model-00001-of-00002.safetensors': weights(),
      'model-00002-of-00002.safetensors': POINTER,
    });
    expect(await opening(path)).toMatch(IS_POINTER);
  });

  it.each(['config.json', 'tokenizer.json'])('as %s, where that is needed', (name) => {
    const path = folder();
    cpSync(TINY, path, { recursive: true });
    writeFileSync(join(path, name), POINTER);
    const said = complaint(weightpress('generate', path, 'a', '--tokens', '1'));
    expect(said).toMatchObject({ status: 2, lines: 1 });
    expect(said.message).toMatch(IS_POINTER);
  });

  it('is kept by a lossless file, which says so on screen and in the file', async () => {
    const path = folder({ 'model.safetensors': POINTER, 'tokenizer.json': POINTER, 'config.json': '{}' });
    const place = folder();
    const { stdout, status } = weightpress('compress', path, '-o', join(place, 'x.wpk'));
    expect(status).toBe(0);
    for (const name of ['model.safetensors', 'tokenizer.json'])
      expect(stdout).toContain(`stored as bytes: ${name}: is a git-lfs pointer`);
    expect((await inspect(join(place, 'x.wpk'))).weightFiles).toMatchObject([
      { name: 'model.safetensors', note: expect.stringMatching(/git lfs pull/), isModel: false },
      { name: 'tokenizer.json', note: expect.stringMatching(/git lfs pull/), isModel: false },
    ]);
    await decompress(join(place, 'x.wpk'), join(place, 'out'));
    expect(readFileSync(join(place, 'out/model.safetensors'), 'utf8')).toBe(POINTER);
  });
});

test('why a file is kept as bytes does not tell where it lay', async () => {
  const path = folder({
    'model.safetensors': Buffer.concat([Buffer.alloc(8, 255), Buffer.alloc(2 ** 21, 7)]),
  });
  const wpk = join(folder(), 'x.wpk');
  await compress(path, wpk);
  const [file] = (await inspect(wpk)).weightFiles;
  expect(file!.note).toMatch(/^header length \d+ is over the limit/);
});

describe('GGUF that is not read', () => {
  const made = folder();
  REAL_FOLDERS['split GGUF']!(made);
  const part = readFileSync(join(made, 'model-00002-of-00002.gguf'));

  it('in parts, as a folder: how to merge them', async () => {
    expect(await opening(made)).toBe(
      `${made}: unsupported split GGUF in 2 parts: merge it with llama-gguf-split --merge ${made}/model-00001-of-00002.gguf model.gguf; lossless compress accepts all parts`,
    );
  });

  it('one part alone: the same, whichever it is', async () => {
    const path = join(made, 'model-00002-of-00002.gguf');
    expect(await opening(path)).toContain(
      `${path}: part 2 of 2 of a split model: merge it with llama-gguf-split --merge ${made}/model-00001-of-00002.gguf model.gguf`,
    );
  });

  it('big-endian: says so, and a lossless file keeps it and says so', async () => {
    const swapped = Buffer.from(part);
    swapped.subarray(4, 8).reverse();
    const path = folder({ 'big.gguf': Buffer.concat([swapped, Buffer.alloc(2 ** 20, 1)]) });
    expect(await opening(path)).toMatch(/big\.gguf: unsupported byte order: big-endian/);
    const wpk = join(folder(), 'x.wpk');
    await compress(path, wpk);
    expect((await inspect(wpk)).weightFiles).toMatchObject([
      { name: 'big.gguf', format: 'bytes', note: expect.stringMatching(/^unsupported byte order/) },
    ]);
    expect(await verify(wpk, { against: path })).toMatchObject({ bitExact: true });
  });
});

describe('a folder without a model that is read', () => {
  const cases: Record<
    string,
    [files: Record<string, string | Uint8Array>, said: (path: string) => string | RegExp]
  > = {
    'of nothing': [{}, () => /: has no files; expected model\.safetensors or/],
    'of DCP': [
      { '.metadata': 'x', '__0_0.distcp': 'x', 'common.pt': 'x' },
      (path) => `dcp_to_torch ${path} model.pt; lossless compress`,
    ],
    'of DCP in a subfolder, as accelerate saves FSDP': [
      {
        'pytorch_model_fsdp_0/.metadata': 'x',
        'pytorch_model_fsdp_0/__0_0.distcp': 'x',
        'scheduler.bin': 'x',
      },
      (path) => `dcp_to_torch ${path}/pytorch_model_fsdp_0 model.pt`,
    ],
    'of DeepSpeed': [
      {
        latest: 'global_step5',
        'zero_to_fp32.py': 'x',
        'rng_state_0.pth': 'x',
        'global_step5/mp_rank_00_model_states.pt': 'x',
        'global_step5/bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt': 'x',
      },
      (path) => `unsupported DeepSpeed checkpoint: convert it with python zero_to_fp32.py ${path} OUT`,
    ],
    'of DeepSpeed, a folder above': [
      { 'checkpoint-5/global_step5/zero_pp_rank_0_mp_rank_00_model_states.pt': 'x' },
      (path) => `python zero_to_fp32.py ${path}/checkpoint-5 OUT`,
    ],
    'of half of the shards': [
      { 'model-00001-of-00003.safetensors': weights(), 'model-00003-of-00003.safetensors': weights('v') },
      () => /: missing model-00002-of-00003\.safetensors of a model in 3 shards$/,
    ],
    'of one shard': [
      { 'pytorch_model-00001-of-00002.bin': 'x' },
      () => /: missing pytorch_model-00002-of-00002\.bin of a model in 2 shards$/,
    ],
    'of several files that may be the model': [
      { 'm.Q4_K_M.gguf': 'GGUF', 'm.Q8_0.gguf': 'GGUF' },
      (path) =>
        `several files of weights, m.Q4_K_M.gguf, m.Q8_0.gguf: specify one, such as ${path}/m.Q4_K_M.gguf`,
    ],
    'of a pipeline': [
      {
        'model_index.json': '{}',
        'unet/diffusion_pytorch_model.safetensors': weights(),
        'vae/model.safetensors': weights(),
      },
      (path) => `several models, unet, vae: specify one, such as ${path}/unet`,
    ],
    'with a model in its folder': [
      { 'README.md': 'x', 'inner/model.safetensors': weights() },
      (path) => `no weights here, but in the folder inner: use ${path}/inner`,
    ],
    'of a .wpk': [{ 'x.wpk': 'x' }, (path) => `expected a model, found a .wpk file: use ${path}/x.wpk`],
    'of formats of others': [
      { 'tf_model.h5': 'x' },
      () => /expected model\.safetensors.*found only tf_model\.h5/,
    ],
  };

  it.each(Object.keys(cases))('%s', async (name) => {
    const [files, said] = cases[name]!;
    const path = folder(files);
    const message = await opening(path);
    expect(message.startsWith(`${path}: `)).toBe(true);
    const expected = said(path);
    if (typeof expected === 'string') expect(message).toContain(expected);
    else expect(message).toMatch(expected);
    expect(message).not.toMatch(/\n/);
  });

  it('is compressed losslessly all the same, unless it has no files', { tags: 'slow' }, async () => {
    for (const [files] of Object.values(cases)) {
      const path = folder(files);
      const wpk = join(folder(), 'x.wpk');
      if (!Object.keys(files).length)
        expect(await refusal(compress(path, wpk))).toMatch(/has no files to compress/);
      else {
        await compress(path, wpk);
        expect(await verify(wpk, { against: path })).toMatchObject({ bitExact: true });
      }
    }
  });

  it('but a complete set of shards is one model, whatever it is called and without an index', async () => {
    const path = folder({
      'diffusion_pytorch_model-00001-of-00002.safetensors': weights(),
      'diffusion_pytorch_model-00002-of-00002.safetensors': weights('v'),
    });
    const model = await open(path);
    expect(model.tensors.map(({ name }) => name)).toEqual(['w', 'v']);
    await model.close();
  });
});

describe('weights that another program has quantized', () => {
  const tensor = (name: string): TestTensor => ({
    name,
    dtype: 'I32',
    shape: [2],
    data: new Uint8Array(8).fill(3),
  });
  const size = '"hidden_size":32,"num_hidden_layers":1,"num_attention_heads":2,"vocab_size":8';
  const config = (quantization: string) => `{"model_type":"llama",${size}${quantization}}`;
  const cases: Record<string, [config: string, names: string[], said: RegExp]> = {
    GPTQ: [
      config(',"quantization_config":{"quant_method":"gptq","bits":4,"group_size":128}'),
      ['model.layers.0.self_attn.q_proj.qweight'],
      /unsupported quantization by gptq \(4 bits, groups of 128\), the model cannot be run.*lossless compress stores it bit for bit$/,
    ],
    AWQ: [
      config(',"quantization_config":{"quant_method":"awq","bits":4}'),
      ['model.layers.0.self_attn.q_proj.qweight'],
      /unsupported quantization by awq \(4 bits\)/,
    ],
    bitsandbytes: [
      config(',"quantization_config":{"quant_method":"bitsandbytes","load_in_4bit":true}'),
      ['model.layers.0.self_attn.q_proj.weight.absmax'],
      /unsupported quantization by bitsandbytes \(4 bits\)/,
    ],
    'a method that only the tensors tell': [
      config(''),
      ['model.layers.0.self_attn.q_proj.qweight'],
      /unsupported quantization by another program, the model cannot be run/,
    ],
    'a family that is not known': [
      '{"model_type":"nobody-knows","quantization_config":{"quant_method":"fp8"}}',
      ['w'],
      /unsupported quantization by fp8 \(8 bits\)/,
    ],
  };

  it.each(Object.keys(cases))(
    '%s: to run it is refused, naming the method; a lossless file is made',
    async (name) => {
      const [config, names, said] = cases[name]!;
      const path = folder({ 'config.json': config, 'model.safetensors': safetensors(names.map(tensor)) });
      const model = await open(path);
      expect(() => buildProgram(model)).toThrow(said);
      await model.close();
      const wpk = join(folder(), 'x.wpk');
      await compress(path, wpk);
      expect(await verify(wpk, { against: path })).toMatchObject({ bitExact: true });
    },
  );
});

describe('what expects a .wpk, of something else', () => {
  const MEANT = 'weightpress analyze shows its content, weightpress compress makes a .wpk of it';
  const gguf = folder();
  REAL_FOLDERS['split GGUF']!(gguf);
  it.each([
    ['a folder', TINY],
    ['a .safetensors file', `${TINY}/model.safetensors`],
    ['a GGUF file', join(gguf, 'model-00001-of-00002.gguf')],
  ])('%s', async (kind, path) => {
    const said = `${path}: is ${kind}, not a .wpk file; ${MEANT}`;
    expect(await refusal(inspect(path))).toBe(said);
    expect(await refusal(verify(path))).toBe(said);
    expect(await refusal(decompress(path, join(folder(), 'out')))).toBe(said);
  });

  it('of what is no model either', async () => {
    expect(await refusal(inspect('README.md'))).toMatch(/not a \.wpk file \(bad magic bytes\)/);
  });
});

test('a config that cannot be read stops what needs it, and nothing else, from a folder and from a .wpk', async () => {
  const path = folder();
  cpSync(TINY, path, { recursive: true });
  writeFileSync(join(path, 'config.json'), '{"model_type": oops');
  const wpk = join(folder(), 'x.wpk');
  await compress(path, wpk);
  for (const from of [path, wpk]) {
    const model = await open(from);
    expect(model.tensors).toHaveLength(56);
    expect(() => buildProgram(model)).toThrow(/config\.json: is not JSON/);
    await model.close();
  }
});

describe('a file without tensors', () => {
  const files: Record<string, Record<string, string | Uint8Array>> = {
    'no tensor': { 'model.safetensors': safetensors([]), 'config.json': '{"model_type":"gpt2"}' },
    'tensors of no elements': { 'model.safetensors': safetensors([f32('a', [0], []), f32('b', [0, 5], [])]) },
    'nothing but empty files': { 'a.txt': '', 'b.txt': '' },
  };

  it.each(Object.keys(files))(
    '%s: no table has an infinite or undefined number',
    { tags: 'slow' },
    async (name) => {
      const path = folder(files[name]!);
      const wpk = join(folder(), 'x.wpk');
      await compress(path, wpk);
      const said = [
        weightpress('inspect', wpk, '--tensors'),
        weightpress('verify', wpk, '--against', path),
        ...(name === 'nothing but empty files'
          ? []
          : [weightpress('analyze', path, '--tensors'), weightpress('analyze', wpk)]),
        weightpress('catalog', join(wpk, '..'), '--markdown'),
        weightpress('audit', wpk),
      ];
      for (const { status, stdout } of said) {
        expect(status).toBe(0);
        expect(stdout).not.toMatch(/NaN|Infinity|undefined|null/);
      }
      const summary = await inspect(wpk);
      expect(summaryTable(summary)).not.toMatch(/NaN|Infinity/);
      const card = modelCard('a/b', 'x.wpk', summary, { id: 'unknown', fields: {} } as never);
      expect(card).not.toMatch(/NaN|Infinity/);
    },
  );

  it('has nothing to quantize or convert, in one line', async () => {
    const path = folder(files['no tensor']!);
    for (const args of [
      ['--bits', '4', '--no-calibration'],
      ['--codec', 'dct', '--bits', '4'],
      ['--kl', '0.01'],
    ]) {
      const said = complaint(weightpress('compress', path, '-o', join(folder(), 'x.wpk'), ...args));
      expect(said).toMatchObject({ status: 2, lines: 1 });
      expect(said.message).toMatch(/has no weights; lossless compress stores the files unchanged/);
    }
    const model = await open(path);
    expect(await refusal(exportSafetensors(model, join(folder(), 'out')))).toMatch(/has no weights/);
    await model.close();
  });
});
