import { EXACT_KINDS, type ExactKind, exactKind, PACKED_KIND } from '../architectures/exact.js';
import { DTYPE_BYTES, elementCount } from '../core/dtype.js';
import { canWiden, widenerOf } from '../core/floats.js';
import type { Model, TensorInfo } from '../core/model.js';
import { sumOf } from '../core/sum.js';
import type { Manifest } from '../wpk/manifest.js';

/** Tensors that are stored exactly, with the reason, by name. */
export type ExactTensors = ReadonlyMap<string, ExactKind>;

/** Bytes of a tensor to scan at once: a multiple of every element size. */
const PIECE_BYTES = 2 ** 22;

/** Finds the tensors to store exactly. Reads all floats of the others, because infinity and NaN cannot be quantized. */
export async function findExactTensors(model: Model, signal?: AbortSignal): Promise<ExactTensors> {
  const found = new Map<string, ExactKind>();
  for (const tensor of model.tensors) {
    const kind = exactKind(tensor, model.config) ?? (await exactContent(model, tensor, signal));
    if (kind) found.set(tensor.name, kind);
  }
  return found;
}

async function exactContent(
  model: Model,
  tensor: TensorInfo,
  signal: AbortSignal | undefined,
): Promise<ExactKind | undefined> {
  if (!canWiden(tensor.dtype)) return 'no floats';
  const widen = widenerOf(model, tensor.name, tensor.dtype);
  const step = PIECE_BYTES - (PIECE_BYTES % DTYPE_BYTES[tensor.dtype]);
  for (let start = 0; start < tensor.lengthBytes; start += step) {
    const end = Math.min(tensor.lengthBytes, start + step);
    signal?.throwIfAborted();
    const floats = widen(await model.readTensor(tensor.name, start, end, signal));
    if (!floats.every(Number.isFinite)) return 'not finite';
  }
  return undefined;
}

/** Kinds that are not weights and do not count for bits per weight. */
const NO_WEIGHTS: ReadonlySet<ExactKind | undefined> = new Set<ExactKind>([
  'masks and tables',
  PACKED_KIND,
  'not finite',
  'no floats',
]);

/** Returns the number of weights in these tensors, the denominator of bits per weight. */
export function weightsIn(tensors: readonly TensorInfo[], exact: ExactTensors): number {
  const held = tensors.filter(({ name }) => !NO_WEIGHTS.has(exact.get(name)));
  return sumOf(held, ({ shape }) => elementCount(shape));
}

/** Returns a manifest in which tensors with infinity or NaN have the role `buffer`. */
export function withBuffers(manifest: Manifest, exact: ExactTensors): Manifest {
  const tensors = manifest.tensors.map((tensor) =>
    exact.get(tensor.name) === 'not finite' ? { ...tensor, role: 'buffer' as const } : tensor,
  );
  return { ...manifest, tensors };
}

/** Exact tensors of one kind, with layers and experts as `*`. */
export interface ExactGroup {
  readonly kind: ExactKind;
  readonly tensors: number;
  readonly names: readonly string[];
}

/** Groups the exact tensors by kind, as stored in the file and printed. */
export function exactGroups(exact: ExactTensors): ExactGroup[] {
  return EXACT_KINDS.flatMap((kind) => {
    const names = [...exact].filter(([, own]) => own === kind).map(([name]) => name);
    const patterns = new Set(names.map((name) => name.replaceAll(/(?<=^|\.)\d+(?=\.|$)/g, '*')));
    return names.length ? [{ kind, tensors: names.length, names: [...patterns] }] : [];
  });
}
