import { matrixOf, TRELLIS } from '../codecs/codec.js';
import { encodeBlock } from '../codecs/trellis/block.js';
import { CONTEXTS, MAX_INDEX, ROWS_PER_BLOCK } from '../codecs/trellis/levels.js';
import { writeParameters } from '../codecs/trellis/parameters.js';
import { readTables, writeTables } from '../codecs/trellis/tables.js';
import { INDICES } from '../codecs/trellis/tokens.js';
import type { Model, TensorInfo } from '../core/model.js';
import { lossOf } from '../evaluation/report.js';
import { indexCoder } from '../wasm/indices.js';
import { type CalibrationSource, heldOutOf } from './calibration/calibrate.js';
import type { Candidate } from './candidate.js';
import type { CodedTensor } from './candidate-frames.js';
import type { ModelBase } from './model-base.js';
import type { CompressionPlan, PlannedTensor } from './plan.js';
import type { Prepared } from './prepare.js';
import type { OnProgress } from './progress.js';
import { measureCandidate, qualityReport } from './quality.js';
import { cannotMeet, withinNote } from './rate-control/messages.js';
import { encodeUnquantized } from './unquantized.js';

/**
 * Writes the smallest candidate of a model: every weight of its matrices zero, all else as in any other.
 * A budget below its bytes is known to be impossible before anything is calibrated.
 * @returns its bytes.
 */
export async function writeMinimum(
  candidate: Candidate,
  model: Model,
  tensors: readonly PlannedTensor[],
  base?: ModelBase,
): Promise<number> {
  const counts = new Float64Array(CONTEXTS * 2 * INDICES);
  counts[MAX_INDEX] = 1;
  const tables = writeTables(counts, new Float32Array(CONTEXTS * 2 * 4));
  const read = readTables(tables);
  async function* coded(): AsyncGenerator<CodedTensor> {
    for (const { tensor, treatment } of tensors)
      yield treatment === 'quantized'
        ? { codec: TRELLIS, payloads: zeros(read, tensor) }
        : await encodeUnquantized(model, tensor, treatment === 'exact', base);
  }
  await candidate.write(tables, coded());
  return candidate.size();
}

/** Checks that a file of zeros meets a budget of bytes. @throws {InputError} when it does not, naming its size. */
export async function checkMinimum(
  { candidate, model, base, goal }: Prepared,
  { tensors }: CompressionPlan,
): Promise<void> {
  try {
    const bytes = await writeMinimum(candidate, model, tensors, base);
    if (bytes > goal.max) throw cannotMeet(goal, bytes);
  } finally {
    await candidate.discard();
  }
}

/** Divergence from which on a file of zeros is tried: it has about as many nats as the original knows of a token, 3 to 8. */
const MIN_ZEROS_KL = 1;
/** The same for embeddings: without their matrices, they hardly depend on the sentence. */
const MIN_ZEROS_COSINE_LOSS = 0.3;

/** What a file of zeros loses, if it was measured, and a message if it is finished. */
export interface Minimum {
  readonly loss?: number;
  readonly note?: string;
}

/**
 * Finishes a file of zeros, the smallest there is, if a budget of nats allows it. For differences from a base that is the base itself, so it is
 * always measured.
 * @returns the measured loss, and a message if the file is finished; else the candidate is discarded.
 */
export async function finishMinimum(
  { candidate, model, base, goal }: Prepared,
  { tensors }: CompressionPlan,
  calibration: CalibrationSource,
  onProgress: OnProgress,
  signal: AbortSignal | undefined,
): Promise<Minimum> {
  if (!base && goal.max < (goal.kind === 'kl' ? MIN_ZEROS_KL : MIN_ZEROS_COSINE_LOSS)) return {};
  const heldOut = await heldOutOf(model, calibration);
  try {
    await writeMinimum(candidate, model, tensors, base);
    const quality = await measureCandidate(candidate.partialPath, model, heldOut, onProgress, signal, base);
    const loss = lossOf(quality);
    if (!(loss <= goal.max)) return { loss };
    await candidate.finish(qualityReport(quality, heldOut));
    return { loss, note: withinNote(goal, loss) };
  } finally {
    await candidate.discard();
  }
}

/** The payloads of a matrix of zeros; blocks of as many rows are one and the same. */
function zeros(tables: ReturnType<typeof readTables>, { shape }: TensorInfo): Uint8Array[] {
  const { rows, columns } = matrixOf(shape);
  const codes = (n: number) => ({
    steps: new Int16Array(n),
    contexts: new Int16Array(n),
    factors: undefined,
  });
  const parameters = { scale: 1, rowFactorRange: 0, columnFactorRange: 0, columns: codes(columns) };
  const blockOf = (count: number) =>
    encodeBlock(indexCoder(), tables, parameters, {
      rows: codes(count),
      indices: new Int16Array(count * columns),
    });
  const whole = Math.floor(rows / ROWS_PER_BLOCK);
  const rest = rows % ROWS_PER_BLOCK;
  return [
    writeParameters(parameters),
    ...(whole ? Array<Uint8Array>(whole).fill(blockOf(ROWS_PER_BLOCK)) : []),
    ...(rest ? [blockOf(rest)] : []),
  ];
}
