import type { Dtype } from '../../core/dtype.js';
import { elementCount } from '../../core/dtype.js';
import { sumOf } from '../../core/sum.js';
import type { CompressionPlan } from '../../quantization/plan.js';
import { batchesPerJob, windowsPerJob } from '../extents.js';
import {
  encodeNeed,
  matrixNeed,
  measureNeed,
  momentsNeed,
  type Need,
  PROCESS_BYTES,
  windowsNeed,
} from './memory.js';
import { LOSSLESS_SHARES, RATES } from './rates.js';
import type { ModelShape } from './shape.js';
import type { SimulatedStage, Work } from './simulate.js';
import { encodeWork, matrixWork, measureWork, momentsWork, windowsWork } from './work.js';

/** What a job does. */
export type JobKind = 'windows' | 'moments' | 'matrix' | 'encode' | 'measure' | 'blocks';

/** A job with its most demanding part. */
export interface PlannedJob extends Work {
  readonly need: Need;
}

/** A stage whose jobs are of one kind. */
export interface PlannedRunStage extends SimulatedStage {
  readonly kind: JobKind | undefined;
  readonly jobs: readonly PlannedJob[];
}

/** What the stages depend on beside the model's shape. */
export interface RunExtent {
  readonly plan: Pick<CompressionPlan, 'samplesRate' | 'stages'>;
  readonly calibrationTokens: number;
  readonly measuredTokens: number;
  readonly bits: number;
  /** Bytes of the model's files, and of the tensors in them. */
  readonly fileBytes: number;
  readonly tensorBytes: number;
  readonly parentThreads: number;
  /** Tokens per job of windows, and of measuring. */
  readonly batchTokens: number;
}

/** Tokens of a window, where the model's context is as long. */
const WINDOW = 512;

/** Bytes of tensors per job of a lossless run. */
export const RUN_BYTES = 2 ** 26;
/** Every 11th matrix is sampled, typically three times: two steps to find a third. */
const SAMPLE_STRIDE = 11;
const TYPICAL_SAMPLES = 3;

/** Returns the stages of a lossy run. */
export function lossyStages(shape: ModelShape, extent: RunExtent): PlannedRunStage[] {
  const { plan, calibrationTokens, tensorBytes, fileBytes, batchTokens } = extent;
  const { matrices } = shape;
  const batches = cut(calibrationTokens, batchTokens);
  const weights = sumOf(shape.tensors, (tensor) => elementCount(tensor.shape));
  const quantizing = matrices.map((matrix) => ({ ...matrixWork(matrix), need: matrixNeed(matrix) }));
  const stages: PlannedRunStage[] = [
    uploading(fileBytes),
    {
      name: 'windows',
      kind: 'windows',
      jobs: cut(calibrationTokens, batchTokens * batchesPerJob(weights, batches.length)).map((tokens) => ({
        ...windowsWork(shape, { tokens, modelBytes: tensorBytes }),
        need: windowsNeed(shape, Math.min(tokens, batchTokens)),
      })),
    },
    {
      name: 'moments',
      kind: 'moments',
      jobs: matrices
        .filter(({ uses }) => batches.length && uses.length)
        .map((matrix) => ({
          ...momentsWork(matrix, calibrationTokens, batches.length),
          need: momentsNeed(matrix, Math.min(calibrationTokens, batchTokens)),
        })),
    },
  ];
  if (plan.samplesRate) {
    const some = quantizing.filter((_, i) => i % SAMPLE_STRIDE === SAMPLE_STRIDE >> 1);
    for (let i = 1; i <= TYPICAL_SAMPLES; i++)
      stages.push({ name: `sample ${i}`, kind: 'matrix', jobs: some });
  }
  let pass = 0;
  for (const { name } of plan.stages) {
    if (name === 'quantizing') {
      stages.push({ name: `pass ${++pass}`, kind: 'matrix', jobs: quantizing });
      stages.push(encoding(shape, extent, `encode ${pass}`));
    }
    if (name === 'measuring') stages.push(measuring(shape, extent, `measure ${pass}`));
  }
  return stages.filter(({ jobs, before, after }) => jobs.length || before || after);
}

/** Returns the stages of a lossless run: runs of tensors, then one pass of the parent over the originals and the frames. */
export function losslessStages(
  tensors: readonly { readonly dtype: Dtype; readonly lengthBytes: number }[],
  fileBytes: number,
): PlannedRunStage[] {
  const runs = runsOf(tensors);
  const jobs = runs.map(({ bytes, coded }) => ({
    seconds: bytes * RATES.lossless.seconds,
    readBytes: bytes,
    writtenBytes: coded,
    need: { label: 'two runs of tensors', bytes: PROCESS_BYTES + 2 * bytes },
  }));
  const coded = sumOf(jobs, ({ writtenBytes }) => writtenBytes);
  const after = { seconds: 0, readBytes: coded, writtenBytes: 0 };
  return [uploading(fileBytes), { name: 'blocks', kind: 'blocks', jobs, after }];
}

/** Returns the parent's upload of the model, whose objects are named by their SHA-256. */
function uploading(fileBytes: number): PlannedRunStage {
  const before = { seconds: fileBytes * RATES.sha256.seconds, readBytes: 0, writtenBytes: fileBytes };
  return { name: 'upload', kind: undefined, jobs: [], before };
}

/**
 * Returns the coding of all indices. Then the parent reads the payloads, writes the file and decodes it: on threads, beside one thread for each of
 * two digests, and one that compares. The slowest of these sets the pace. It stores the file for the jobs that measure it.
 */
function encoding({ matrices }: ModelShape, extent: RunExtent, name: string): PlannedRunStage {
  const { bits, tensorBytes, parentThreads } = extent;
  const weights = sumOf(matrices, (matrix) => matrix.weights);
  const jobs = matrices.map((matrix) => ({ ...encodeWork(matrix, bits), need: encodeNeed(matrix, bits) }));
  const payloadBytes = sumOf(jobs, ({ writtenBytes }) => writtenBytes);
  const after = {
    seconds: Math.max(
      (weights * RATES.decode.seconds) / parentThreads,
      tensorBytes * RATES.sha256.seconds,
      weights * RATES.compare.seconds,
    ),
    readBytes: payloadBytes,
    writtenBytes: payloadBytes,
  };
  return { name, kind: 'encode', jobs, after };
}

function measuring(shape: ModelShape, extent: RunExtent, name: string): PlannedRunStage {
  const { bits, tensorBytes, measuredTokens } = extent;
  const candidateBytes = (sumOf(shape.matrices, ({ weights }) => weights) * bits) / 8;
  const atOnce = windowsPerJob(measuredTokens / WINDOW, WINDOW) * WINDOW;
  const jobs = cut(measuredTokens, atOnce).map((tokens) => ({
    ...measureWork(shape, { tokens, modelBytes: tensorBytes }, candidateBytes),
    need: measureNeed(shape, tokens),
  }));
  return { name, kind: 'measure', jobs };
}

/** Cuts a whole into parts of one size and a smaller last one. */
function cut(whole: number, part: number): number[] {
  const total = Math.round(whole);
  return Array.from({ length: Math.ceil(total / part) }, (_, i) => Math.min(part, total - i * part));
}

/** Cuts tensors, one after another, into runs; each has the share of its bytes that the codec leaves. */
function runsOf(tensors: readonly { readonly dtype: Dtype; readonly lengthBytes: number }[]) {
  const runs: { bytes: number; coded: number }[] = [];
  let room = 0;
  for (const { dtype, lengthBytes } of tensors)
    for (let left = lengthBytes; left > 0; ) {
      if (!room) runs.push({ bytes: 0, coded: 0 });
      const bytes = Math.min(left, room || RUN_BYTES);
      const run = runs.at(-1)!;
      run.bytes += bytes;
      run.coded += bytes * (LOSSLESS_SHARES[dtype] ?? 1);
      room = (room || RUN_BYTES) - bytes;
      left -= bytes;
    }
  return runs;
}
