// How much work of a model is one job. Results do not depend on it.

/** Batches of a small model are run together, in no more than this many jobs. */
const MAX_SMALL_JOBS = 8;
/** Weights times batches that are enough for one job. */
const ENOUGH_WEIGHTS = 1e9;

/** Returns how many batches of the calibration text one job runs. @param weights of the model. @param batches in all. */
export function batchesPerJob(weights: number, batches: number): number {
  const few = Math.ceil(batches / MAX_SMALL_JOBS);
  return Math.max(1, Math.min(few, Math.round(ENOUGH_WEIGHTS / weights)));
}

/** Maximum tokens of the windows that one job measures: as many as run together in one process. */
const MEASURED_TOKENS = 1024;
/** Jobs that measure a candidate, if there are as many windows: each reads both models, and others wait for none of them. */
const MEASURE_JOBS = 8;

/** Returns how many windows of the held-out text one job measures. @param windows in all. @param length tokens of each. */
export function windowsPerJob(windows: number, length: number): number {
  const share = Math.ceil(windows / MEASURE_JOBS);
  return Math.max(1, Math.min(share, Math.floor(MEASURED_TOKENS / length)));
}
