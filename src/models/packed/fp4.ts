import { quote } from '../../core/json.js';
import type { TensorInfo } from '../../core/model.js';
import { type PackedFormat, present, renamed, type Unpacked } from './format.js';
import { type Parts, SCALES, TILE_OUTPUTS } from './parts.js';
import { scaleGrid } from './scale-grid.js';

/** The numbers that 4 bits of E2M1 represent. */
const E2M1 = Float32Array.from([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0, -0.5, -1, -1.5, -2, -3, -4, -6]);

/** Weights per scale. */
const [NV_GROUP, MX_GROUP] = [16, 32];

/**
 * NVFP4 of compressed-tensors: `weight_packed` U8 [outputs, inputs / 2] of E2M1, `weight_scale` F8_E4M3 [outputs, inputs / 16], divided
 * by `weight_global_scale`. MXFP4 of the same has exponents in U8 [outputs, inputs / 32].
 */
export const packedFp4: PackedFormat = {
  methods: ['compressed-tensors'],
  matches: ({ name, dtype }) => dtype === 'U8' && name.endsWith('weight_packed'),
  open: (packed, parts) => {
    const part = (ending: string) => renamed(packed, 'packed', ending);
    const scale = parts.need(packed, part('scale'));
    const isMx = scale.dtype === 'U8';
    const global = isMx ? undefined : parts.need(packed, part('global_scale'));
    return openRows(packed, parts, { name: renamed(packed, '_packed', ''), scale, global, isDivided: true });
  },
};

/** NVFP4 of TensorRT's Model Optimizer: `weight` U8 [outputs, inputs / 2], `weight_scale`, times `weight_scale_2`. */
export const modeloptFp4: PackedFormat = {
  methods: ['modelopt', 'modelopt_fp4'],
  matches: ({ name, dtype }, parts) => dtype === 'U8' && parts.find(`${name}_scale_2`) !== undefined,
  open: (weight, parts) => {
    const { name } = weight;
    const [scale, global] = [parts.need(weight, `${name}_scale`), parts.need(weight, `${name}_scale_2`)];
    return openRows(weight, parts, { name, scale, global, isDivided: false });
  },
};

/**
 * MXFP4 of gpt_oss: `NAME_blocks` U8 [experts, outputs, groups, 16] of E2M1, and exponents in `NAME_scales` U8 [experts, outputs,
 * groups]. The floats are [experts, inputs, outputs].
 */
export const mxfp4: PackedFormat = {
  methods: ['mxfp4'],
  matches: ({ name, dtype }) => dtype === 'U8' && name.endsWith('_blocks'),
  open: (blocks, parts) => openExperts(blocks, parts),
};

interface Scaling {
  readonly name: string;
  readonly scale: TensorInfo;
  /** One scale for all of the scales. */
  readonly global: TensorInfo | undefined;
  /** Whether scales are divided by it, not multiplied. */
  readonly isDivided: boolean;
}

function openRows(packed: TensorInfo, parts: Parts, { name, scale, global, isDivided }: Scaling): Unpacked {
  const columns = 2 * (packed.shape.at(-1) ?? 0);
  const shape = [...packed.shape.slice(0, -1), columns];
  const group = scale.dtype === 'U8' ? MX_GROUP : NV_GROUP;
  if (shape.length < 2 || columns % group || scale.shape.at(-1) !== columns / group)
    parts.refuse(
      scale,
      `scales of shape ${quote(scale.shape)} do not fit weights of ${quote(shape)} in groups of ${group}`,
    );
  parts.check(scale, ['F8_E4M3', 'U8'], [...shape.slice(0, -1), columns / group]);
  if (global) parts.check(global, SCALES, global.shape.length ? [1] : []);
  const grid = scaleGrid(parts, scale, shape, [1, group]);
  const rows = async (first: number, last: number, signal?: AbortSignal) => {
    const codes = await parts.bytes(packed, (first * columns) / 2, (last * columns) / 2, signal);
    const scales = await grid.read(first, last, signal);
    const [whole = 1] = global ? await parts.numbers(global, undefined, undefined, signal) : [];
    for (let i = 0; i < scales.length; i++) scales[i] = isDivided ? scales[i]! / whole : scales[i]! * whole;
    const values = new Float32Array((last - first) * columns);
    for (let i = 0; i < values.length; i++)
      values[i] = E2M1[(codes[i >> 1]! >> (4 * (i & 1))) & 15]! * scales[Math.floor(i / group)]!;
    return values;
  };
  return { name, shape, parts: present(packed, scale, global), rows };
}

function openExperts(blocks: TensorInfo, parts: Parts): Unpacked {
  const scales = parts.need(blocks, renamed(blocks, 'blocks', 'scales'));
  const [experts = 0, outputs = 0, groups = 0] = blocks.shape;
  parts.check(blocks, ['U8'], [experts, outputs, groups, MX_GROUP / 2]);
  parts.check(scales, ['U8'], [experts, outputs, groups]);
  const inputs = groups * MX_GROUP;
  const codeBytes = outputs * groups * (MX_GROUP / 2);
  const rows = async (first: number, last: number, signal?: AbortSignal) => {
    const values = new Float32Array((last - first) * outputs);
    for (let row = first; row < last; ) {
      const expert = Math.floor(row / inputs);
      const end = Math.min(last, (expert + 1) * inputs);
      const codes = await parts.keep(blocks, expert * codeBytes, (expert + 1) * codeBytes, signal);
      const range = [expert * outputs * groups, (expert + 1) * outputs * groups] as const;
      const exponents = await parts.numbers(scales, ...range, signal);
      const into = values.subarray((row - first) * outputs, (end - first) * outputs);
      decodeExpert({ codes, exponents, outputs, groups }, row - expert * inputs, into);
      row = end;
    }
    return values;
  };
  return {
    name: renamed(blocks, '_blocks', ''),
    shape: [experts, inputs, outputs],
    parts: [blocks, scales],
    rows,
  };
}

interface Expert {
  readonly codes: Uint8Array;
  readonly exponents: Float32Array;
  readonly outputs: number;
  readonly groups: number;
}

/** Decodes inputs from `first` on to [inputs, outputs], tile by tile, because they lie along columns. */
function decodeExpert(
  { codes, exponents, outputs, groups }: Expert,
  first: number,
  into: Float32Array,
): void {
  const last = first + into.length / outputs;
  for (let input = first; input < last; ) {
    const group = Math.floor(input / MX_GROUP);
    const stop = Math.min(last, (group + 1) * MX_GROUP);
    for (let tile = 0; tile < outputs; tile += TILE_OUTPUTS)
      for (let i = input; i < stop; i++)
        for (let output = tile; output < Math.min(outputs, tile + TILE_OUTPUTS); output++) {
          const own = output * groups + group;
          const byte = codes[(own * MX_GROUP + (i % MX_GROUP)) >> 1]!;
          into[(i - first) * outputs + output] = E2M1[(byte >> (4 * (i & 1))) & 15]! * exponents[own]!;
        }
    input = stop;
  }
}
