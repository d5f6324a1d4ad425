import type { Job, Json } from '../queue/job.js';
import type { JobContext } from '../queue/serve.js';
import { type BlocksData, runBlocks } from './jobs/blocks.js';
import { type EncodeData, type MatrixData, runEncode, runMatrix } from './jobs/matrix.js';
import { type MeasureData, runMeasure } from './jobs/measure.js';
import { type ModelData, runModel } from './jobs/model.js';
import { type MomentsData, runMoments } from './jobs/moments.js';
import { runWindows, type WindowsData } from './jobs/windows.js';
import { hasResult, type Result, writeResult } from './results.js';
import type { Work, Workplace } from './workplace.js';

/** The inputs of jobs, by kind. */
export interface JobData {
  readonly windows: WindowsData;
  readonly moments: MomentsData;
  readonly matrix: MatrixData;
  readonly encode: EncodeData;
  readonly measure: MeasureData;
  readonly blocks: BlocksData;
  readonly model: ModelData;
}

const RUN: { readonly [Kind in keyof JobData]: (data: JobData[Kind], work: Work) => Promise<Result> } = {
  windows: runWindows,
  moments: runMoments,
  matrix: runMatrix,
  encode: runEncode,
  measure: runMeasure,
  blocks: runBlocks,
  model: runModel,
};

/** Kinds of jobs: those of a lossy run in its order, then the others. */
export const KINDS = Object.keys(RUN) as readonly (keyof JobData)[];

/** What a job took. */
export interface JobCost {
  /** Seconds in all, and those in which something was asked of the store. */
  readonly seconds: number;
  readonly storeSeconds: number;
  readonly readBytes: number;
  readonly writtenBytes: number;
}

/** Does a job, unless its result is there, and stores the result. @returns what it took. */
export async function runJob(
  job: Job,
  place: Workplace,
  { onProgress }: Pick<JobContext, 'onProgress'>,
): Promise<Json> {
  const { kind, key, data } = job;
  const { store } = place;
  if (await hasResult(store, kind, key)) return null;
  const before = { ...store.traffic, waited: store.waitedSeconds };
  const started = performance.now();
  const run = RUN[kind as keyof JobData] as (data: unknown, work: Work) => Promise<Result>;
  const result = await run(data, { place, key, onProgress }).catch(async (error) => {
    // another worker has done it, and what it was made of may be gone
    if (await hasResult(store, kind, key).catch(() => false)) return undefined;
    throw error;
  });
  if (!result) return null;
  await writeResult(store, kind, key, result);
  const cost: JobCost = {
    seconds: (performance.now() - started) / 1000,
    storeSeconds: store.waitedSeconds - before.waited,
    readBytes: store.traffic.readBytes - before.readBytes,
    writtenBytes: store.traffic.writtenBytes - before.writtenBytes,
  };
  return { ...cost };
}
