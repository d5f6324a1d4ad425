import { TRELLIS } from '../codecs/codec.js';
import { level, NEXT_STATE } from '../codecs/trellis/levels.js';
import type { Dtype } from '../core/dtype.js';
import { InputError } from '../core/errors.js';
import { canWiden, toFloats } from '../core/floats.js';
import { sumOf } from '../core/sum.js';
import type { StoredTensorEntry } from '../wpk/directory.js';
import { planTensor } from '../wpk/plan.js';
import { type Container, decodeFrame } from '../wpk/reader.js';

/** Histogram of a tensor's values. */
export interface Histogram {
  /** `steps`: a bin is a quantization level, in units of the step. `weights`: a bin is a range of values. */
  readonly unit: 'steps' | 'weights';
  /** Center of the first bin. */
  readonly first: number;
  /** Distance between centers of bins. */
  readonly width: number;
  readonly counts: readonly number[];
  /** Number of values outside of all bins. */
  readonly beyond: number;
}

/** Bins on each side of zero. */
const SIDE_BINS = 40;
/** Range of the bins of weights, in standard deviations. */
const SIDE_DEVIATIONS = 4;

/**
 * Counts a stored tensor's values block by block: levels if it is quantized, else weights.
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
  const bins = new Bins(1);
  for await (const { elements, columns } of decodedBlocks(container, tensor, 'I16', signal)) {
    const indices = new Int16Array(elements.buffer, elements.byteOffset, elements.length / 2);
    const states = new Uint8Array(columns);
    for (let i = 0; i < indices.length; i++) {
      const [state, index] = [states[i % columns]!, indices[i]!];
      bins.add(level(state & 1, index));
      states[i % columns] = NEXT_STATE[state]![index & 1]!;
    }
  }
  return bins.histogram('steps');
}

async function ofWeights(
  container: Container,
  tensor: StoredTensorEntry,
  signal?: AbortSignal,
): Promise<Histogram> {
  let bins: Bins | undefined;
  for await (const { elements } of decodedBlocks(container, tensor, tensor.dtype, signal)) {
    const weights = toFloats({ id: container.source.name }, tensor, elements.slice());
    // from the first block; the blocks of a large tensor are alike
    bins ??= new Bins((SIDE_DEVIATIONS * deviationOf(weights)) / SIDE_BINS);
    for (const weight of weights) bins.add(weight);
  }
  return (bins ?? new Bins(1)).histogram('weights');
}

/** Returns the root mean square; 1 when all weights are zero. */
function deviationOf(weights: Float32Array): number {
  const square = sumOf(weights, (weight) => weight * weight) / weights.length;
  return Math.sqrt(square || 1);
}

/** Yields a tensor's blocks as elements of a type; `I16` gives the indices of a quantized one. Each is valid until the next. */
async function* decodedBlocks(
  container: Container,
  tensor: StoredTensorEntry,
  dtype: Dtype,
  signal?: AbortSignal,
) {
  const side = await container.readSide(tensor, signal);
  for (const planned of planTensor(tensor)) {
    const block = { ...planned.block, dtype };
    const frame = await container.readFrame(planned, signal);
    const elements = decodeFrame(frame, { ...planned, block }, tensor, side, container.source.name);
    yield { elements, columns: block.columns };
  }
}

/** Counts of values in bins around zero. */
class Bins {
  private readonly counts = new Array<number>(2 * SIDE_BINS + 1).fill(0);
  private beyond = 0;

  constructor(private readonly width: number) {}

  add(value: number): void {
    const bin = Math.round(value / this.width);
    if (Math.abs(bin) > SIDE_BINS) this.beyond++;
    else this.counts[bin + SIDE_BINS]!++;
  }

  /** Returns the histogram without empty bins at both ends. */
  histogram(unit: Histogram['unit']): Histogram {
    const { counts, beyond, width } = this;
    const last = counts.findLastIndex((count) => count > 0);
    const first = counts.findIndex((count) => count > 0);
    return {
      unit,
      first: (first - SIDE_BINS) * width,
      width,
      counts: counts.slice(first, last + 1),
      beyond,
    };
  }
}
