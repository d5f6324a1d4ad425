import { type Model, originalBytes } from '../../core/model.js';
import { sumOf } from '../../core/sum.js';
import { weightsIn } from '../../quantization/exact-tensors.js';
import { planCompression } from '../../quantization/plan.js';
import { type Budget, checkBudget, goalOf } from '../../quantization/rate-control/budget.js';
import { largest, type Need } from './memory.js';
import { type ModelShape, shapeOf } from './shape.js';
import { type Machines, NETWORK, type Simulation, simulate } from './simulate.js';
import { type JobKind, losslessStages, lossyStages, type PlannedRunStage } from './stages.js';

/** Options of {@link planMachines}. */
export interface MachinesOptions {
  /** Undefined: lossless. */
  readonly budget?: Budget | undefined;
  /** Tokens of the calibration and of measuring, as `expectedTokens` returns them; undefined without calibration. */
  readonly tokens?: { readonly calibrationTokens: number; readonly measuredTokens: number } | undefined;
  /** Threads of the parent; by default 2. */
  readonly parentThreads?: number | undefined;
  /** Tokens per job of windows, and of measuring; by default 1,024. */
  readonly batchTokens?: number | undefined;
  /** Bandwidths; by default {@link NETWORK}. */
  readonly network?: Omit<Machines, 'workers'> | undefined;
  /** Numbers of workers to simulate; by default 1, 4, 16 and 64. */
  readonly workers?: readonly number[] | undefined;
}

/** All jobs of one kind. */
export interface PlannedKind {
  readonly kind: JobKind;
  readonly jobs: number;
  readonly readBytes: number;
  readonly writtenBytes: number;
  /** Seconds of computing of all jobs, and of the longest. */
  readonly seconds: number;
  readonly longestSeconds: number;
  /** Memory that a worker needs, and the matrix or layer that needs it. */
  readonly memory: Need;
}

/** A run on some workers. */
export interface PlannedRun extends Simulation {
  readonly workers: number;
  /** Times as fast as one worker. */
  readonly speedUp: number;
}

/** What a run on many machines is going to take. Times are estimates from measured rates. */
export interface MachinesPlan {
  readonly kinds: readonly PlannedKind[];
  /** What the parent does alone. */
  readonly parent: { readonly seconds: number; readonly readBytes: number; readonly writtenBytes: number };
  readonly stages: readonly PlannedRunStage[];
  readonly runs: readonly PlannedRun[];
}

const DEFAULT_PARENT_THREADS = 2;
const DEFAULT_BATCH_TOKENS = 1024;
const DEFAULT_WORKERS = [1, 4, 16, 64];
/** Bits per weight if the budget is a loss: those of the first step of the search for a small one. */
const TYPICAL_BITS = 3;

/**
 * Plans a compression on many machines from a model's config, and the types and shapes of its tensors; reads no weights.
 * @throws {InputError} for an impossible budget, and, if there is one, for a model that cannot be run.
 */
export async function planMachines(model: Model, options: MachinesOptions = {}): Promise<MachinesPlan> {
  const { network = NETWORK, workers = DEFAULT_WORKERS } = options;
  const stages = await stagesOf(model, options);
  const alone = simulate(stages, { ...network, workers: 1 });
  const serial = stages.flatMap(({ before, after }) => [before ?? [], after ?? []].flat());
  return {
    kinds: kindsOf(stages),
    parent: {
      seconds: sumOf(serial, ({ seconds }) => seconds),
      readBytes: sumOf(serial, ({ readBytes }) => readBytes),
      writtenBytes: sumOf(serial, ({ writtenBytes }) => writtenBytes),
    },
    stages,
    runs: workers.map((count) => {
      const run = simulate(stages, { ...network, workers: count });
      return { workers: count, speedUp: run.seconds ? alone.seconds / run.seconds : 1, ...run };
    }),
  };
}

async function stagesOf(model: Model, options: MachinesOptions): Promise<PlannedRunStage[]> {
  const { budget, tokens, parentThreads = DEFAULT_PARENT_THREADS } = options;
  const { batchTokens = DEFAULT_BATCH_TOKENS } = options;
  const fileBytes = originalBytes(model);
  if (!budget) return losslessStages(model.tensors, fileBytes);
  checkBudget(budget);
  const shape = await shapeOf(model);
  const { tensors, exact } = shape;
  const parameters = weightsIn(tensors, exact);
  const goal = goalOf(budget, { originalBytes: fileBytes, sideBytes: 0, parameters, reportBytes: 0 });
  const plan = planCompression({ tensors, exact, goal, tune: false, tokens });
  return lossyStages(shape, {
    plan,
    calibrationTokens: tokens?.calibrationTokens ?? 0,
    measuredTokens: tokens?.measuredTokens ?? 0,
    bits: goal.kind === 'bytes' ? bitsPerWeight(shape, goal.limit) : TYPICAL_BITS,
    fileBytes,
    tensorBytes: sumOf(tensors, ({ lengthBytes }) => lengthBytes),
    parentThreads,
    batchTokens,
  });
}

/** Returns the bits of a quantized weight in a file of this many bytes; the other tensors are as long as they were. */
function bitsPerWeight({ tensors, matrices }: ModelShape, bytes: number): number {
  const weights = sumOf(matrices, (matrix) => matrix.weights);
  const quantized = sumOf(matrices, ({ tensor }) => tensor.lengthBytes);
  const rest = sumOf(tensors, ({ lengthBytes }) => lengthBytes) - quantized;
  return weights ? Math.max(0, (8 * (bytes - rest)) / weights) : 0;
}

function kindsOf(stages: readonly PlannedRunStage[]): PlannedKind[] {
  const kinds = [...new Set(stages.flatMap(({ kind, jobs }) => (kind && jobs.length ? kind : [])))];
  return kinds.map((kind) => {
    const jobs = stages.filter((stage) => stage.kind === kind).flatMap((stage) => stage.jobs);
    return {
      kind,
      jobs: jobs.length,
      readBytes: sumOf(jobs, ({ readBytes }) => readBytes),
      writtenBytes: sumOf(jobs, ({ writtenBytes }) => writtenBytes),
      seconds: sumOf(jobs, ({ seconds }) => seconds),
      longestSeconds: jobs.reduce((most, { seconds }) => Math.max(most, seconds), 0),
      memory: largest(jobs.map(({ need }) => need)),
    };
  });
}
