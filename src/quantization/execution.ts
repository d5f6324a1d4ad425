import type { Model } from '../core/model.js';
import type { Quality } from '../evaluation/report.js';
import { loadRuntime } from '../onnx/node/runtime.js';
import type { HeldOut } from './calibration/held-out.js';
import { type CalibrationText, loadStatistics } from './calibration/load-statistics.js';
import type { Statistics } from './calibration/statistics.js';
import { IndexStore } from './index-store.js';
import { type MatrixPasses, ThreadPasses } from './matrix-passes.js';
import type { ModelBase } from './model-base.js';
import type { OnProgress } from './progress.js';
import { measureCandidate } from './quality.js';
import { startQuantization } from './threads.js';

/** Statistics that are closed after use. */
export interface OpenStatistics extends Statistics {
  close(): Promise<void>;
}

/** Passes over matrices, closed after use. */
export interface Matrices extends MatrixPasses {
  close(): Promise<void>;
}

/** Where the jobs of a lossy compression run: in this process, or on other machines. Results are the same bit by bit. */
export interface Execution {
  /** Whether statistics are in a file on this machine. */
  readonly usesFiles: boolean;
  /** Collects a model's statistics on a text. @param path the file that they are stored in, or reused from. */
  statistics(
    path: string,
    model: Model,
    text: CalibrationText,
    onProgress: OnProgress,
    signal?: AbortSignal,
  ): Promise<OpenStatistics>;
  /** Opens what quantizes matrices. @param beside path next to which temporary files are created. */
  matrices(model: Model, statistics: Statistics | undefined, beside: string): Promise<Matrices>;
  /** Measures a candidate against the original. */
  measure(
    candidate: string,
    model: Model,
    heldOut: HeldOut,
    onProgress: OnProgress,
    signal?: AbortSignal,
  ): Promise<Quality>;
}

/** Runs everything in this process. @param threads for matrices; default: one per core. @param base of which the differences are quantized. */
export function inProcess(threads?: number, base?: ModelBase): Execution {
  return {
    usesFiles: true,
    statistics: async (path, model, text, onProgress, signal) =>
      loadStatistics(path, await loadRuntime(), model, text, { onProgress, signal }),
    matrices: async (model, statistics, beside) => {
      const indexStore = await IndexStore.create(beside);
      const pool = startQuantization(threads);
      const passes = new ThreadPasses(model, statistics, indexStore, pool, base);
      const close = async () => void (await Promise.all([pool.close(), indexStore.close()]));
      return { run: passes.run.bind(passes), close };
    },
    measure: (candidate, model, heldOut, onProgress, signal) =>
      measureCandidate(candidate, model, heldOut, onProgress, signal, base),
  };
}
