import { EXACT_KINDS, type ExactKind, exactKind, PACKED_KIND } from '../architectures/exact.js';
import { DTYPE_BYTES, elementCount } from '../core/dtype.js';
import { canWiden, widenerOf } from '../core/floats.js';
import type { Model, TensorInfo } from '../core/model.js';
import type { Manifest } from '../wpk/manifest.js';

/** Tensors that keep their elements, and why, by name. */
export type Exact = ReadonlyMap<string, ExactKind>;

/** Bytes of a tensor that are looked at together: a multiple of every element's. */
const PIECE_BYTES = 2 ** 22;

/** Finds what is kept exact, reading every float that is not: infinity and NaN cannot be quantized, nor rounded. */
export async function findExact(model: Model, tensors: readonly TensorInfo[]): Promise<Exact> {
  const found = new Map<string, ExactKind>();
  for (const tensor of tensors) {
    const kind = exactKind(tensor, model.config) ?? (await exactContent(model, tensor));
    if (kind) found.set(tensor.name, kind);
  }
  return found;
}

async function exactContent(model: Model, tensor: TensorInfo): Promise<ExactKind | undefined> {
  if (!canWiden(tensor.dtype)) return 'no floats';
  const widen = widenerOf(model, tensor.name, tensor.dtype);
  const step = PIECE_BYTES - (PIECE_BYTES % DTYPE_BYTES[tensor.dtype]);
  for (let start = 0; start < tensor.lengthBytes; start += step) {
    const end = Math.min(tensor.lengthBytes, start + step);
    const floats = widen(await model.readTensor(tensor.name, start, end));
    if (!floats.every(Number.isFinite)) return 'not finite';
  }
  return undefined;
}

/** Kinds that hold no weights: what "bits per weight" does not count. */
const NO_WEIGHTS: ReadonlySet<ExactKind | undefined> = new Set<ExactKind>([
  'masks and tables',
  PACKED_KIND,
  'not finite',
  'no floats',
]);

/** Weights in these tensors: what a budget in bits is per. */
export function weightsIn(tensors: readonly TensorInfo[], exact: Exact): number {
  return tensors
    .filter(({ name }) => !NO_WEIGHTS.has(exact.get(name)))
    .reduce((sum, { shape }) => sum + elementCount(shape), 0);
}

/** A manifest in which what turned out to be no weights has the role of a buffer. */
export function withBuffers(manifest: Manifest, exact: Exact): Manifest {
  const tensors = manifest.tensors.map((tensor) =>
    exact.get(tensor.name) === 'not finite' ? { ...tensor, role: 'buffer' as const } : tensor,
  );
  return { ...manifest, tensors };
}

/** Tensors of one kind that were kept, with layers and experts as `*`. */
export interface ExactGroup {
  readonly kind: ExactKind;
  readonly tensors: number;
  readonly names: readonly string[];
}

/** What was kept exact, kind by kind, as it is stored in the file and printed. */
export function exactGroups(exact: Exact): ExactGroup[] {
  return EXACT_KINDS.flatMap((kind) => {
    const names = [...exact].filter(([, own]) => own === kind).map(([name]) => name);
    const patterns = new Set(names.map((name) => name.replaceAll(/(?<=^|\.)\d+(?=\.|$)/g, '*')));
    return names.length ? [{ kind, tensors: names.length, names: [...patterns] }] : [];
  });
}
