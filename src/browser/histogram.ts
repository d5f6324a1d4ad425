import { TRELLIS } from '../codecs/codec.js';
import { level, NEXT_STATE } from '../codecs/trellis/levels.js';
import type { Dtype } from '../core/dtype.js';
import { InputError } from '../core/errors.js';
import { canWiden, toFloats } from '../core/floats.js';
import type { StoredTensorEntry } from '../wpk/directory.js';
import { planTensor } from '../wpk/plan.js';
import { type Container, decodeFrame } from '../wpk/reader.js';
import { distribution, type Histogram } from './distribution.js';

/** Bins on each side of zero. */
const SIDE_BINS = 40;
/** Blocks that are counted at most: all of a tensor up to this number, else so many, evenly spaced. */
const MAX_BLOCKS = 16;

/**
 * Counts a stored tensor's values, of a large one a sample of its blocks: levels if it is quantized, else weights.
 * @returns undefined if the elements are not floats. @throws {InputError} for an unknown name or damaged data.
 */
export async function histogramOf(
  container: Container,
  name: string,
  signal?: AbortSignal,
): Promise<Histogram | undefined> {
  const found = container.directory.tensors.find((tensor) => tensor.name === name);
  const tensor = found?.sameAs === undefined ? found : container.directory.tensors[found.sameAs];
  if (!tensor) throw new InputError('no such tensor', { file: container.source.name, tensor: name });
  if (tensor.codec === TRELLIS) return ofLevels(container, tensor, signal);
  return canWiden(tensor.dtype) ? ofWeights(container, tensor, signal) : undefined;
}

async function ofLevels(
  container: Container,
  tensor: StoredTensorEntry,
  signal?: AbortSignal,
): Promise<Histogram> {
  const bins = new Bins();
  for await (const { elements, columns } of decodedBlocks(container, tensor, 'I16', signal)) {
    const indices = new Int16Array(elements.buffer, elements.byteOffset, elements.length / 2);
    const states = new Uint8Array(columns);
    for (let i = 0; i < indices.length; i++) {
      const [state, index] = [states[i % columns]!, indices[i]!];
      bins.add(level(state & 1, index));
      states[i % columns] = NEXT_STATE[state]![index & 1]!;
    }
  }
  return bins.histogram();
}

async function ofWeights(
  container: Container,
  tensor: StoredTensorEntry,
  signal?: AbortSignal,
): Promise<Histogram> {
  const parts: Float32Array[] = [];
  for await (const { elements } of decodedBlocks(container, tensor, tensor.dtype, signal))
    parts.push(toFloats({ id: container.source.name }, tensor, elements.slice()));
  return distribution(parts);
}

/** Returns all items, or so many of them, evenly spaced. */
function spread<T>(items: readonly T[], most: number): T[] {
  const every = Math.max(1, items.length / most);
  return items.filter((_, i) => Math.floor(i / every) !== Math.floor((i - 1) / every));
}

/** Yields a tensor's blocks as elements of a type; `I16` gives the indices of a quantized one. Each is valid until the next. */
async function* decodedBlocks(
  container: Container,
  tensor: StoredTensorEntry,
  dtype: Dtype,
  signal?: AbortSignal,
) {
  const side = await container.readSide(tensor, signal);
  for (const planned of spread(planTensor(tensor), MAX_BLOCKS)) {
    const block = { ...planned.block, dtype };
    const frame = await container.readFrame(planned, signal);
    const own = dtype === tensor.dtype ? await container.base.side(tensor, planned, side, signal) : side;
    const elements = decodeFrame(frame, { ...planned, block }, tensor, own, container.source.name);
    yield { elements, columns: block.columns };
  }
}

/** Counts of levels around zero. */
class Bins {
  private readonly counts = new Array<number>(2 * SIDE_BINS + 1).fill(0);
  private beyond = 0;

  add(level: number): void {
    if (Math.abs(level) > SIDE_BINS) this.beyond++;
    else this.counts[level + SIDE_BINS]!++;
  }

  /** Returns the histogram without empty bins at both ends. */
  histogram(): Histogram {
    const { counts, beyond } = this;
    const last = counts.findLastIndex((count) => count > 0);
    const first = counts.findIndex((count) => count > 0);
    return {
      unit: 'steps',
      first: first - SIDE_BINS,
      width: 1,
      counts: counts.slice(first, last + 1),
      beyond,
    };
  }
}
