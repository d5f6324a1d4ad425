// Weights that other programs packed: read as the floats that the formats' own definitions give, stored as the bytes that they are.
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { packedLine } from '../src/cli/summary-table.js';
import { readFloats } from '../src/core/floats.js';
import { type Model, originalBytes } from '../src/core/model.js';
import { sumOf } from '../src/core/sum.js';
import { extentOf, matricesOf } from '../src/experiments/matrices.js';
import { compress, decompress, evaluate, exportSafetensors, verify } from '../src/index.js';
import { unpacked } from '../src/models/packed/view.js';
import { openModel } from '../src/open/open.js';
import { fixture } from './helpers/fixtures.js';
import { largestDifference, logitsOf, refusalOf } from './helpers/logits.js';
import { MemoryModel } from './helpers/memory-model.js';
import { folder, safetensors } from './helpers/safetensors.js';

const FORMATS = readdirSync(fixture('packed')).filter((name) => !name.includes('.'));
const pathOf = (name: string) => fixture(join('packed', name));
const file = (name: string, own: string) => readFileSync(join(pathOf(name), own));
const expectedOf = (name: string) =>
  JSON.parse(file(name, 'expected.json').toString()) as {
    readonly input_ids: number[][];
    readonly shapes: Record<string, number[]>;
    readonly sha256: Record<string, string>;
  };
const logitsIn = (name: string) => new Float32Array(Uint8Array.from(file(name, 'logits.f32')).buffer);
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
const memory = (name: string) => MemoryModel.of(pathOf(name));
const TOLERANCE = 1e-3;

/** A name of packed weights in a fixture, whose prefix all its parts have. */
const STEM = 'model.layers.0.mlp.down_proj';

describe.each(FORMATS)('%s', (name) => {
  it('is floats, bit for bit those of the reference, under the names that they have unpacked', async () => {
    await using packed = await openModel(pathOf(name));
    const model = await unpacked(packed);
    const { shapes, sha256: digests } = expectedOf(name);
    const found: Record<string, string> = {};
    for (const { name: own, dtype, shape } of model.tensors) {
      if (!Object.hasOwn(digests, own)) expect([own, dtype]).toEqual([own, 'BF16']);
      else {
        expect([dtype, shape]).toEqual(['F32', shapes[own]]);
        found[own] = sha256(await model.readTensor(own));
      }
    }
    expect(found).toEqual(digests);
    expect(model.config).not.toHaveProperty('quantization_config');
    expect(originalBytes(model)).toBe(originalBytes(packed));
    const replaced = model.tensors.reduce((sum, own) => sum + (own.storedBytes ?? own.lengthBytes), 0);
    const stored = packed.tensors.filter((own) => !/\.(input|activation)_(global_)?scale$/.test(own.name));
    expect(replaced).toBe(sumOf(stored, ({ lengthBytes }) => lengthBytes));
  });

  it('ranges are the same bytes as the whole', async () => {
    await using packed = await openModel(pathOf(name));
    const model = await unpacked(packed);
    const [own] = Object.keys(expectedOf(name).shapes).filter((tensor) => tensor.includes('down_proj'));
    const whole = await model.readTensor(own!);
    const at = fc.nat(whole.length);
    await fc.assert(
      fc.asyncProperty(at, at, async (a, b) => {
        const [start, end] = [Math.min(a, b), Math.max(a, b)];
        expect(await model.readTensor(own!, start, end)).toEqual(whole.slice(start, end));
      }),
      { seed: 29, numRuns: 15 },
    );
  });
});

it.each(FORMATS)('%s computes the logits of transformers', async (name) => {
  await using model = await openModel(pathOf(name));
  const logits = await logitsOf(model, expectedOf(name).input_ids);
  expect(largestDifference(logits, logitsIn(name))).toBeLessThan(TOLERANCE);
});

describe('compressed', () => {
  it.each(FORMATS)(
    '%s without loss: every byte comes back, and the .wpk is the same floats',
    async (name) => {
      const place = folder();
      const [wpk, restored] = [join(place, 'x.wpk'), join(place, 'restored')];
      await compress(pathOf(name), wpk, { threads: 0 });
      expect(await verify(wpk, { against: pathOf(name), threads: 0 })).toMatchObject({ bitExact: true });
      await decompress(wpk, restored, { threads: 0 });
      for (const own of readdirSync(pathOf(name)))
        expect(readFileSync(join(restored, own)).equals(file(name, own))).toBe(true);
      await using stored = await openModel(wpk);
      const model = await unpacked(stored);
      const { sha256: digests } = expectedOf(name);
      for (const own of Object.keys(digests)) expect(sha256(await model.readTensor(own))).toBe(digests[own]);
    },
  );

  it('to a budget: against the packed model, sizes in shares of its bytes, plain floats when restored', {
    tags: 'slow',
  }, async () => {
    const place = folder();
    const [wpk, restored] = [join(place, 'x.wpk'), join(place, 'restored')];
    const options = { budget: { bits: 5 }, calibration: false, threads: 0 } as const;
    const summary = await compress(pathOf('gptq-4'), wpk, options);
    await using packed = await openModel(pathOf('gptq-4'));
    expect(summary.originalBytes).toBe(originalBytes(packed));
    expect(summary.tensorBytes).toBe(sumOf(packed.tensors, ({ lengthBytes }) => lengthBytes));
    expect(summary.weights).toBeGreaterThan(summary.quantized!.weights);
    expect((summary.fileBytes * 8) / summary.weights).toBeGreaterThan(4);
    expect(packedLine(summary)).toMatch(/packed weights \(gptq, 4 bits, groups of 32\), read as floats/);
    const { good, error } = await verify(wpk, { against: packed, threads: 0 });
    expect(good && error!.relativeSquaredError).toBeCloseTo(
      summary.weightError!.relativeSquaredError as number,
      6,
    );
    await decompress(wpk, restored, { threads: 0 });
    expect(JSON.parse(readFileSync(join(restored, 'config.json'), 'utf8'))).toEqual(
      Object.fromEntries(Object.entries(packed.config!).filter(([key]) => key !== 'quantization_config')),
    );
    await using plain = await openModel(restored);
    expect(plain.tensors.map(({ dtype }) => dtype)).not.toContain('I32');
    const tokens = expectedOf('gptq-4').input_ids.flat();
    const { kl } = await evaluate(plain, { against: packed, tokens, window: 12 });
    expect(kl!.mean).toBeGreaterThan(0);
    expect(kl!.mean).toBeLessThan(0.05);
  });

  it('from shards, whose index lists the floats afterwards', async () => {
    const packed = await memory('fp8-block');
    const shards = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'] as const;
    const shardOf = (own: string) => shards[own.endsWith('_scale_inv') ? 1 : 0]; // codes without their scales
    const inShard = (shard: string) =>
      safetensors(
        [...packed.byName].flatMap(([own, t]) => (shardOf(own) === shard ? { name: own, ...t } : [])),
      );
    const weight_map = Object.fromEntries([...packed.byName.keys()].map((own) => [own, shardOf(own)]));
    const path = folder({
      'config.json': JSON.stringify(packed.config),
      'model.safetensors.index.json': JSON.stringify({ metadata: {}, weight_map }),
      'hf_quant_config.json': '{}',
      [shards[0]]: inShard(shards[0]),
      [shards[1]]: inShard(shards[1]),
    });
    const place = folder();
    const options = {
      codec: { transform: 'none' },
      budget: { bits: 11 },
      calibration: false,
      threads: 0,
    } as const;
    const { leftOut } = await compress(path, join(place, 'x.wpk'), options);
    expect(leftOut).toEqual([
      { name: 'hf_quant_config.json', lengthBytes: 2, reason: 'describes packed weights' },
    ]);
    await decompress(join(place, 'x.wpk'), join(place, 'restored'), { threads: 0 });
    await using restored = await openModel(join(place, 'restored')); // compares index and shards
    const logits = await logitsOf(restored, expectedOf('fp8-block').input_ids);
    expect(largestDifference(logits, logitsIn('fp8-block'))).toBeLessThan(1);
  });
});

it('exported: as it lies, or as floats of the type that is asked for', async () => {
  const place = folder();
  await using packed = await openModel(pathOf('awq'));
  await exportSafetensors(packed, join(place, 'same'));
  await exportSafetensors(packed, join(place, 'floats'), { dtype: 'F32' });
  await using same = await openModel(join(place, 'same'));
  expect(same.config).toEqual(packed.config);
  expect(same.tensors.map(({ name }) => name)).toEqual(packed.tensors.map(({ name }) => name));
  await using floats = await openModel(join(place, 'floats'));
  const { sha256: digests } = expectedOf('awq');
  for (const own of Object.keys(digests)) expect(sha256(await floats.readTensor(own))).toBe(digests[own]);
});

it('scales of activations and of the KV cache are no weights', async () => {
  const model = await memory('fp8-tensor'); // with activation_scale
  for (const name of ['self_attn.k_proj.k_scale', 'self_attn.v_proj.v_scale', 'mlp.up_proj.input_scale_ub'])
    model.set(`model.layers.0.${name}`, [1], Float32Array.of(2));
  const logits = await logitsOf(model, expectedOf('fp8-tensor').input_ids);
  expect(largestDifference(logits, logitsIn('fp8-tensor'))).toBeLessThan(TOLERANCE);
});

it('lab divides by the bytes of packed matrices', async () => {
  await using packed = await openModel(pathOf('awq'));
  const { weights, bytes } = extentOf(await matricesOf(await unpacked(packed)));
  expect(weights).toBe(55488 - 192);
  // codes, a scale in 2 bytes and a zero point in half a byte for each group of 32; embedding and head in BF16
  const inLayer = weights - 2 * 96 * 64;
  expect(bytes).toBe(inLayer / 2 + (inLayer / 32) * 2.5 + 2 * 96 * 64 * 2);
});

it('reads only the rows that are asked for', async () => {
  const model = await memory('fp8-row');
  const read: Record<string, number> = {};
  const { readTensor } = model;
  model.readTensor = (name, start, end) => {
    read[name] = (read[name] ?? 0) + (end! - start!);
    return readTensor.call(model, name, start, end);
  };
  const view = await unpacked(model as unknown as Model);
  await view.readTensor(`${STEM}.weight`, 10 * 160 * 4, 13 * 160 * 4);
  expect(read).toEqual({ [`${STEM}.weight`]: 3 * 160, [`${STEM}.weight_scale`]: 3 * 2 });
});

describe('refused in one line that names the tensor', () => {
  const drop = (ending: string) => (model: MemoryModel) =>
    model.rename((name) => (name === `${STEM}.${ending}` ? undefined : name));
  const reshape = (ending: string, shape: readonly number[]) => (model: MemoryModel) => {
    const own = model.byName.get(`${STEM}.${ending}`)!;
    const width = own.data.length / own.shape.reduce((a, b) => a * b, 1);
    const data = new Uint8Array(shape.reduce((a, b) => a * b, width));
    model.byName.set(`${STEM}.${ending}`, { ...own, shape, data });
  };
  const quantization = (change: object) => (model: MemoryModel) => {
    const given = model.config.quantization_config as object;
    model.config = { ...model.config, quantization_config: { ...given, ...change } };
  };
  const put = (ending: string, bytes: Uint8Array) => (model: MemoryModel) => {
    const own = model.byName.get(`${STEM}.${ending}`)!;
    const data = own.data.slice();
    data.set(bytes);
    model.byName.set(`${STEM}.${ending}`, { ...own, data });
  };
  const state = 'weight.quant_state.bitsandbytes__nf4';
  const text = (own: object) => {
    const data = new TextEncoder().encode(JSON.stringify(own));
    return (model: MemoryModel) =>
      void model.byName.set(`${STEM}.${state}`, { dtype: 'U8', shape: [data.length], data });
  };
  const cases: [string, (model: MemoryModel) => unknown, RegExp][] = [
    ['fp8-tensor', drop('weight_scale_inv'), /down_proj.*without .*weight_scale_inv or .*weight_scale$/],
    ['fp8-row', reshape('weight_scale', [63, 1]), /weight_scale.*\[63,1\] do not fit weights of \[64,160\]/],
    ['fp8-block', quantization({ weight_block_size: [64, 32] }), /do not fit.*in blocks of \[64,32\]/],
    ['fp8-block', quantization({ weight_block_size: [0, 0] }), /do not fit/],
    ['gptq-4', drop('qzeros'), /qweight.*without .*qzeros$/],
    ['gptq-4', drop('scales'), /qweight.*without .*scales$/],
    ['gptq-4', reshape('g_idx', [159]), /g_idx.*expected I32 of shape \[160\], found I32 of \[159\]/],
    ['gptq-4', put('g_idx', Uint8Array.of(5)), /g_idx.*group 5 of an input, there are 5/],
    ['gptq-4', put('g_idx', Uint8Array.of(255, 255, 255, 255)), /g_idx.*group -1/],
    ['gptq-4', quantization({ bits: 5 }), /expected 2, 3, 4, 8 bits per weight, found 5/],
    ['gptq-4', quantization({ checkpoint_format: 'marlin' }), /unsupported format marlin/],
    ['gptq-3', quantization({ group_size: 64 }), /scales.*5 groups of scales for 160 inputs in groups of 64/],
    ['gptq-3', reshape('qweight', [16, 64]), /qweight.*expected I32/],
    ['awq', quantization({ version: 'gemv' }), /unsupported layout gemv of AWQ/],
    ['awq', reshape('qzeros', [4, 8]), /qzeros.*expected I32 of shape \[5,8\]/],
    ['nf4', drop('weight.absmax'), /weight.*without .*absmax$/],
    ['nf4', drop(state), /without .*bitsandbytes__nf4 or .*bitsandbytes__fp4$/],
    ['nf4', drop('weight.nested_absmax'), /without .*nested_absmax$/],
    ['nf4', text({ shape: [64, 161], blocksize: 64 }), /5120 bytes do not hold \[64,161\] in 4 bits/],
    ['nf4', text({ shape: [2 ** 40, 2 ** 40], blocksize: 64 }), /do not hold/],
    ['nf4', text({ shape: [64, 160], blocksize: 0 }), /unexpected content/],
    ['nf4', text([]), /JSON|object/],
    ['fp4', reshape('weight.quant_map', [15]), /quant_map.*expected F32 of shape \[16\]/],
    ['llm-int8', drop('SCB'), /without .*SCB$/],
    ['llm-int8', put('weight_format', Uint8Array.of(1)), /weight_format.*unsupported layout 1/],
    ['nvfp4', drop('weight_global_scale'), /without .*weight_global_scale$/],
    ['nvfp4', reshape('weight_scale', [64, 9]), /\[64,9\] do not fit weights of \[64,160\] in groups of 16/],
    ['nvfp4-modelopt', drop('weight_scale'), /without .*weight_scale$/],
    ['pack-quantized-4', drop('weight_shape'), /without .*weight_shape$/],
    ['pack-quantized-4', put('weight_shape', Uint8Array.of(65)), /does not hold \[65,160\]/],
    ['pack-quantized-4', put('weight_shape', new Uint8Array(16).fill(255)), /expected the sizes of a matrix/],
    ['pack-quantized-4', reshape('weight_zero_point', [7, 5]), /expected I32 of shape \[8,5\]/],
    ['pack-quantized-4-ordered', put('weight_g_idx', Uint8Array.of(9)), /group 9 of an input, there are 5/],
    ['int-quantized', reshape('weight_zero_point', [64, 2]), /expected I8 of shape \[64,1\]/],
  ];

  it.each(cases.map(([name, change, said], i) => ({ name, said, change, i })))(
    '$i $name: $said',
    async ({ name, change, said }) => {
      const model = await memory(name);
      change(model);
      const message = await refusalOf(() => logitsOf(model as never, [[1, 2]]));
      expect(message).toMatch(said);
      expect(message).toContain(STEM);
    },
  );

  it('experts of another number than their scales', async () => {
    const model = await memory('mxfp4');
    const name = 'model.layers.0.mlp.experts.down_proj_scales';
    model.byName.set(name, { dtype: 'U8', shape: [3, 32, 2], data: new Uint8Array(192) });
    const message = await refusalOf(() => unpacked(model as unknown as Model));
    expect(message).toMatch(/down_proj_scales.*expected U8 of shape \[4,32,2\], found U8 of \[3,32,2\]/);
  });

  it('a method that is not known, by its name; and a known one that packs nothing', async () => {
    const model = await memory('gptq-4');
    model.config = { ...model.config, quantization_config: { quant_method: 'hqq' } };
    expect(await refusalOf(() => logitsOf(model as never, [[1]]))).toMatch(/unsupported quantization by hqq/);
    const plain = await unpacked((await memory('gptq-4')) as unknown as Model);
    const nothing = new MemoryModel(
      { ...plain.config, quantization_config: { quant_method: 'fp8' } },
      new Map(),
    );
    for (const tensor of plain.tensors)
      nothing.set(tensor.name, tensor.shape, await readFloats(plain, tensor));
    expect(await refusalOf(() => logitsOf(nothing as never, [[1]]))).toMatch(/quantization_config.*fp8/);
  });
});
