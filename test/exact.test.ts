// What a lossy file must not touch, and what its printed numbers are stated of.
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { exactKind } from '../src/architectures/exact.js';
import { errorLine, exactLine, summaryTable } from '../src/cli/summary-table.js';
import { matrixOf } from '../src/codecs/codec.js';
import { openModel } from '../src/open/open.js';
import { compress } from '../src/operations/compress.js';
import { inspect } from '../src/operations/inspect.js';
import { tinyModel } from './helpers/gguf.js';
import { causalMask } from './helpers/models.js';
import { f32, folder, safetensors, seededRandom, type TestTensor } from './helpers/safetensors.js';

/** Gaussian values of a seed. */
function gaussian(count: number, seed: number, sigma = 0.02): Float32Array {
  const random = seededRandom(seed);
  return Float32Array.from({ length: count }, () => {
    const radius = Math.sqrt(-2 * Math.log(1 - random()));
    return sigma * radius * Math.cos(2 * Math.PI * random());
  });
}

const size = (shape: readonly number[]) => shape.reduce((product, n) => product * n, 1);
const weight = (name: string, shape: readonly number[], seed = 1, sigma?: number) =>
  f32(name, [...shape], gaussian(size(shape), seed, sigma));

type Way = { readonly bits: number; readonly transform?: boolean };

/** Compresses tensors without calibration and opens what came out. */
async function pressed(
  tensors: readonly TestTensor[],
  { bits, transform = false }: Way,
  config: Record<string, unknown> = { model_type: 'other' },
) {
  const path = folder({
    'model.safetensors': safetensors([...tensors]),
    'config.json': JSON.stringify(config),
  });
  const output = join(path, 'out.wpk');
  const original = await openModel(path);
  if (transform)
    await compress(original, output, {
      codec: { transform: 'hadamard' },
      budget: { bits },
      calibration: false,
    });
  else await compress(original, output, { budget: { bits }, threads: 1, calibration: false });
  const [summary, opened] = [await inspect(output), await openModel(output)];
  const floats = async (name: string) => new Float32Array((await opened.readTensor(name)).slice().buffer);
  const original32 = async (name: string) =>
    new Float32Array((await original.readTensor(name)).slice().buffer);
  return { summary, opened, original, floats, original32 };
}

function relativeError(own: Float32Array, original: Float32Array): number {
  let [error, power] = [0, 0];
  original.forEach((value, i) => {
    error += (own[i]! - value) ** 2;
    power += value ** 2;
  });
  return error / power;
}

describe('a tensor that is never quantized', () => {
  it.each([
    ['model.layers.0.self_attn.q_proj.scales', [32, 512]],
    ['model.layers.0.self_attn.q_proj.qzeros', [32, 64]],
    ['model.layers.0.self_attn.q_proj.g_idx', [512]],
    ['model.layers.0.mlp.up_proj.weight_scale', [512, 4]],
    ['model.layers.0.mlp.up_proj.weight_scale_inv', [64, 32]],
    ['model.layers.0.mlp.up_proj.input_scale', []],
    ['model.layers.0.mlp.up_proj.weight.absmax', [8192]],
    ['model.layers.0.mlp.up_proj.weight.nested_quant_map', [256]],
    ['model.layers.0.mlp.up_proj.weight.quant_state.bitsandbytes__nf4', [100]],
    ['model.layers.0.mlp.experts.gate_up_proj_scales', [8, 64, 32]],
    ['model.layers.0.mlp.experts.gate_up_proj_blocks', [8, 64, 32, 16]],
    ['model.layers.0.mlp.up_proj.SCB', [512]],
  ])('%s: of packed weights', (name, shape) => {
    expect(exactKind({ name, shape }, undefined)).toBe('scales and codes of packed weights');
  });

  it.each([
    ['model.layers.3.mlp.gate.weight', [64, 2048]],
    ['model.layers.3.block_sparse_moe.gate.weight', [8, 4096]],
    ['model.layers.3.mlp.router.weight', [32, 2880]],
    ['model.layers.3.mlp.router.bias', [32]],
    ['encoder.block.1.layer.1.mlp.router.classifier.weight', [8, 768]],
    ['model.layers.3.mlp.shared_expert_gate.weight', [1, 2048]],
    ['model.layers.3.mlp.gate.e_score_correction_bias', [256]],
    ['model.layers.3.feed_forward.gate.wg.weight', [16, 1024]],
    ['blk.3.ffn_gate_inp.weight', [8, 4096]],
  ])('%s: a router', (name, shape) => {
    expect(exactKind({ name, shape }, undefined)).toBe('routers');
  });

  it.each([
    ['backbone.layers.0.mixer.A_log', [1536, 16]],
    ['backbone.layers.0.mixer.D', [1536]],
    ['backbone.layers.0.mixer.dt_bias', [24]],
    ['backbone.layers.0.mixer.dt_proj.weight', [1536, 48]],
    ['backbone.layers.0.mixer.conv1d.weight', [1536, 1, 4]],
    ['rwkv.blocks.0.attention.time_decay', [768]],
    ['rwkv.blocks.0.attention.time_mix_key', [1, 1, 768]],
    ['blk.0.ssm_a', [1536, 16]],
  ])('%s: of a state space', (name, shape) => {
    expect(exactKind({ name, shape }, undefined)).toBe('state-space parameters');
  });

  it.each([
    ['model.layers.0.mlp.gate_proj.weight', [11008, 4096]],
    ['model.layers.0.mlp.gate.weight', [4096, 1024]],
    ['model.layers.0.self_attn.q_proj.weight', [4096, 4096]],
    ['model.layers.0.mlp.experts.gate_up_proj', [8, 512, 256]],
    ['model.layers.0.self_attn.q_proj.lora_A.weight', [8, 4096]],
    ['backbone.layers.0.mixer.in_proj.weight', [3072, 768]],
    ['model.embed_tokens.weight', [32000, 4096]],
    ['model.encoder.conv1.weight', [384, 80, 3]],
  ])('is not %s', (name, shape) => {
    expect(exactKind({ name, shape }, undefined)).toBeUndefined();
  });

  it.each([
    ['quantizing', { bits: 4 }],
    ['transforming', { bits: 4, transform: true }],
  ] as const)('keeps every bit when %s, and is named', async (_, way) => {
    const mask = new Float32Array(64 * 64);
    mask.fill(Number.NEGATIVE_INFINITY, 7, 90);
    mask[3000] = Number.NaN;
    const exact = [
      weight('layers.0.q_proj.scales', [32, 64], 2),
      weight('layers.0.q_proj.weight_scale_inv', [40], 3),
      weight('layers.1.mlp.gate.weight', [16, 128], 4),
      weight('layers.2.mlp.gate.weight', [16, 128], 5),
      weight('layers.0.mixer.A_log', [128, 16], 6),
      f32('pattern', [64, 64], mask),
      f32('offsets', [3], Float32Array.from([1, Number.POSITIVE_INFINITY, 0.1])),
    ];
    const quantized = [0, 1, 2, 3].map((i) => weight(`layers.${i}.up_proj.weight`, [256, 128], 10 + i));
    const { summary, opened, original } = await pressed([...exact, ...quantized], way);
    for (const { name } of exact)
      expect(Buffer.compare(await opened.readTensor(name), await original.readTensor(name)), name).toBe(0);
    expect(summary.tensors.filter(({ codec }) => codec !== 'lossless')).toHaveLength(4);
    expect(summary.options.exact).toEqual([
      {
        kind: 'scales and codes of packed weights',
        tensors: 2,
        names: ['layers.*.q_proj.scales', 'layers.*.q_proj.weight_scale_inv'],
      },
      { kind: 'routers', tensors: 2, names: ['layers.*.mlp.gate.weight'] },
      { kind: 'state-space parameters', tensors: 1, names: ['layers.*.mixer.A_log'] },
      { kind: 'not finite', tensors: 2, names: ['pattern', 'offsets'] },
    ]);
    expect(exactLine(summary)).toBe(
      'stored exactly: 2 tensors (scales and codes of packed weights: layers.*.q_proj.scales, layers.*.q_proj.weight_scale_inv); 2 tensors (routers: layers.*.mlp.gate.weight); 1 tensor (state-space parameters: layers.*.mixer.A_log); 2 tensors (not finite: pattern, offsets)',
    );
    await Promise.all([opened.close(), original.close()]);
  });
});

describe('stacked matrices', () => {
  it.each([
    [[8, 512, 256], { rows: 4096, columns: 256, stack: 8 }],
    [[2, 8, 512, 64], { rows: 8192, columns: 64, stack: 16 }],
    [[512, 256], { rows: 512, columns: 256, stack: 1 }],
    [[512, 3], { rows: 512, columns: 3, stack: 1 }],
    [[384, 80, 3], { rows: 384, columns: 240, stack: 1 }],
    [[768, 3, 16, 16], { rows: 768, columns: 768, stack: 1 }],
    [[1, 1, 768], { rows: 1, columns: 768, stack: 1 }],
  ])('%o', (shape, expected) => {
    expect(matrixOf(shape)).toEqual(expected);
  });

  it('of experts are coded as well as the same experts each for itself', { tags: 'slow' }, async () => {
    const [experts, rows, columns] = [6, 96, 128];
    const sigmas = Array.from({ length: experts }, (_, i) => 0.01 * 2 ** i);
    const each = sigmas.map((sigma, i) => weight(`experts.${i}.up_proj`, [rows, columns], i + 1, sigma));
    const data = new Float32Array(experts * rows * columns);
    for (const [i, sigma] of sigmas.entries())
      data.set(gaussian(rows * columns, i + 1, sigma), i * rows * columns);
    const apart = await pressed(each, { bits: 4 });
    const stacked = await pressed([f32('experts.up_proj', [experts, rows, columns], data)], { bits: 4 });
    const whole = await stacked.floats('experts.up_proj');
    for (let i = 0; i < experts; i++) {
      const part = (values: Float32Array) => values.subarray(i * rows * columns, (i + 1) * rows * columns);
      const alone = relativeError(
        await apart.floats(`experts.${i}.up_proj`),
        await apart.original32(`experts.${i}.up_proj`),
      );
      expect(relativeError(part(whole), part(data)) / alone).toBeLessThan(1.1);
    }
    await Promise.all([apart, stacked].flatMap(({ opened, original }) => [opened.close(), original.close()]));
  });
});

describe('a GPT-2 with masks, a tied copy and integers', () => {
  it.each([
    ['trellis', false],
    ['a transform', true],
  ])(
    'has what was asked for per weight, and its error beside the bound of the same weights: %s',
    { tags: 'slow' },
    async (_, transform) => {
      const model = tinyModel('gpt2', { n_embd: 128, n_positions: 512 });
      for (const [i, { name, shape }] of model.tensors.entries())
        model.set(name, shape, gaussian(size(shape), i + 1));
      const parameters = [...model.byName].map(([name, { dtype, shape, data }]) => ({
        name,
        dtype,
        shape: [...shape],
        data,
      }));
      const weights = parameters.reduce((sum, { shape }) => sum + size(shape), 0);
      const masks = [0, 1].map((layer) => ({
        name: `transformer.h.${layer}.attn.bias`,
        dtype: 'F32',
        shape: [1, 1, 512, 512],
        data: causalMask(512, 512 - layer, 'F32'),
      }));
      const head = { ...parameters.find(({ name }) => name.endsWith('wte.weight'))!, name: 'lm_head.weight' };
      const ids = { name: 'ids', dtype: 'I64', shape: [512], data: new Uint8Array(4096) };
      const { summary, opened, original, floats, original32 } = await pressed(
        [...parameters, ...masks, head, ids],
        { bits: 3, transform },
        model.config,
      );
      expect(summary.weights).toBe(weights);
      const bits = (summary.fileBytesWithoutSideFiles * 8) / weights;
      expect(bits).toBeLessThanOrEqual(3);
      expect(bits).toBeGreaterThan(2.9);

      // by hand, from what the file decodes to
      let [error, power, held] = [0, 0, 0];
      for (const { name, shape } of parameters.filter(
        ({ shape }) => shape.length > 1 && size(shape) >= 1024,
      )) {
        const [own, before] = [await floats(name), await original32(name)];
        const square = before.reduce((sum, value) => sum + value ** 2, 0);
        error += relativeError(own, before) * square;
        power += square;
        held += size(shape);
      }
      expect(summary.quantized!.weights).toBe(held);
      const [, stated, rate, bound] =
        /quantized: relative squared error ([\d.e-]+) at ([\d.]+) bits per weight; the bound .* is ([\d.e-]+)$/.exec(
          errorLine(summary)!,
        )!;
      expect(Number(stated)).toBeCloseTo(error / power, 4);
      expect(Number(rate)).toBeLessThan(3);
      expect(Number(rate)).toBeGreaterThan(2.5);
      expect(Number(bound)).toBeCloseTo(2 ** (-2 * Number(rate)), 4);
      expect(Number(stated)).toBeGreaterThan(Number(bound));
      const whole = summaryTable(summary)
        .split('\n')
        .find((line) => line.includes('the whole file'))!;
      expect(whole).toContain(((summary.fileBytes * 8) / weights).toFixed(3));
      await Promise.all([opened.close(), original.close()]);
    },
  );
});
