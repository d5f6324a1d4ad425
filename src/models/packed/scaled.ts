import { isPlainObject } from '../../core/json.js';
import type { TensorInfo } from '../../core/model.js';
import { type PackedFormat, present, type Settings, type Unpacked } from './format.js';
import { type Parts, SCALES } from './parts.js';
import { scaleGrid } from './scale-grid.js';

const FLOAT8 = ['F8_E4M3', 'F8_E5M2'] as const;

/** Blocks of DeepSeek-V3, where config.json names none. */
const DEFAULT_BLOCK = [128, 128] as const;

/** FP8 with scales: `weight` in F8_E4M3 or F8_E5M2, times `weight_scale` or `weight_scale_inv`, per tensor, row or block. */
export const fp8: PackedFormat = {
  methods: ['fp8', 'fbgemm_fp8', 'compressed-tensors', 'modelopt'],
  matches: ({ name, dtype, shape }) =>
    FLOAT8.some((type) => type === dtype) && shape.length > 1 && !/_scale(_inv)?$/.test(name),
  open: (tensor, parts, { given, groupSize }) => {
    const block = blockOf(given) ?? (groupSize === undefined ? DEFAULT_BLOCK : [1, groupSize]);
    return scaled(tensor, parts, block);
  },
};

/** Int8 of compressed-tensors: `weight` in I8, minus `weight_zero_point`, times `weight_scale`. */
export const int8: PackedFormat = {
  methods: ['compressed-tensors'],
  matches: ({ name, dtype }, parts) => dtype === 'I8' && parts.find(`${name}_scale`) !== undefined,
  open: (tensor, parts, { groupSize = 0 }) => scaled(tensor, parts, [1, groupSize]),
};

/** Returns rows and columns of a block of scales, as DeepSeek or compressed-tensors name them. */
function blockOf(given: Settings['given']): readonly [number, number] | undefined {
  const groups = isPlainObject(given.config_groups) ? Object.values(given.config_groups) : [];
  const weights = groups.map((group) => isPlainObject(group) && group.weights).find(isPlainObject);
  const block = given.weight_block_size ?? weights?.block_structure;
  const isBlock = Array.isArray(block) && block.length === 2 && block.every((n) => Number.isSafeInteger(n));
  return isBlock ? (block as [number, number]) : undefined;
}

function scaled(tensor: TensorInfo, parts: Parts, block: readonly [number, number]): Unpacked {
  const { name, shape } = tensor;
  const scale = parts.need(tensor, `${name}_scale_inv`, `${name}_scale`);
  parts.check(scale, [...SCALES, 'U8']);
  const zero = parts.find(`${name}_zero_point`);
  if (zero) parts.check(zero, ['I8'], scale.shape);
  const [grid, zeros] = [scale, zero].map((part) => part && scaleGrid(parts, part, shape, block));
  const columns = shape.at(-1)!;
  const { blockColumns, perRow, rowOf } = grid!;
  const rows = async (first: number, last: number, signal?: AbortSignal) => {
    const values = await parts.numbers(tensor, first * columns, last * columns, signal);
    const scales = await grid!.read(first, last, signal);
    const offsets = await zeros?.read(first, last, signal);
    for (let row = first; row < last; row++) {
      const [at, from] = [(row - first) * columns, rowOf(row, first) * perRow];
      for (let start = 0, own = from; start < columns; start += blockColumns, own++) {
        const [stop, offset, factor] = [
          at + Math.min(columns, start + blockColumns),
          offsets?.[own] ?? 0,
          scales[own]!,
        ];
        for (let i = at + start; i < stop; i++) values[i] = (values[i]! - offset) * factor;
      }
    }
    return values;
  };
  return { name, shape, parts: present(tensor, scale, zero), rows };
}
