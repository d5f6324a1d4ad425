import { elementCount } from '../core/dtype.js';
import type { Model, TensorInfo } from '../core/model.js';
import { evaluationOf } from '../evaluation/evaluate.js';
import { checkComparable, windowsOf } from '../evaluation/prepare.js';
import type { Quality } from '../evaluation/report.js';
import { openProgram } from '../inference/program.js';
import { openFile } from '../io/node/file.js';
import type { StoredModel } from '../models/stored-model.js';
import { openModel } from '../open/open.js';
import type { HeldOut } from '../quantization/calibration/held-out.js';
import type { CalibrationText } from '../quantization/calibration/load-statistics.js';
import type { Statistics } from '../quantization/calibration/statistics.js';
import type { Execution, Matrices, OpenStatistics } from '../quantization/execution.js';
import type { Pass, PassOptions, PassSettings } from '../quantization/matrix-passes.js';
import type { OnProgress } from '../quantization/progress.js';
import { measureCandidate } from '../quantization/quality.js';
import { putFile } from '../stores/content.js';
import { EncodedMatrices } from './encoded-matrices.js';
import { windowsPerJob } from './extents.js';
import type { Fleet } from './fleet.js';
import { countsOf } from './jobs/matrix.js';
import { scoresOf, storedWindow } from './jobs/measure.js';
import { ModelNeeds } from './needs.js';
import { StoredStatistics } from './packed-moments.js';
import { readResult } from './results.js';
import { collectOnFleet } from './statistics.js';
import { putModel, putSmall } from './stored-model.js';

/** Runs the jobs of a lossy compression on the workers of a fleet. */
export class FleetExecution implements Execution {
  readonly usesFiles = false;
  private readonly models = new Map<Model, Promise<string>>();
  private readonly needs = new Map<Model, Promise<ModelNeeds>>();

  constructor(private readonly fleet: Fleet) {}

  async statistics(
    _path: string,
    model: Model,
    text: CalibrationText,
    onProgress: OnProgress,
    signal?: AbortSignal,
  ): Promise<OpenStatistics> {
    const key = await this.put(model, signal);
    const found = await collectOnFleet(
      this.fleet,
      { model, key, needs: await this.needsOf(model) },
      text,
      onProgress,
      signal,
    );
    return Object.assign(found, { close: async () => {} });
  }

  async matrices(model: Model, statistics: Statistics | undefined): Promise<Matrices> {
    const key = await this.put(model);
    const needs = await this.needsOf(model);
    const jobs = statistics instanceof StoredStatistics ? statistics.jobs : {};
    return {
      run: (matrices, settings, options) => this.pass(key, needs, jobs, matrices, settings, options),
      close: async () => {},
    };
  }

  async measure(
    candidate: string,
    model: Model,
    heldOut: HeldOut,
    onProgress: OnProgress,
    signal?: AbortSignal,
  ): Promise<Quality> {
    if (heldOut.kind === 'sentences') return measureCandidate(candidate, model, heldOut, onProgress, signal);
    const { tokens, window, maskToken } = heldOut;
    const compressed = await openModel(candidate);
    try {
      const program = await openProgram(compressed, signal);
      const reference = await openProgram(model, signal);
      checkComparable(program, reference);
      const windows = await windowsOf(program, reference, undefined, { tokens, window, maskToken });
      const source = await openFile(candidate);
      const file = await putFile(this.fleet.store, source, { signal }).finally(() => source.close());
      const original = await this.put(model, signal);
      const needs = await this.needsOf(model);
      const atOnce = windowsPerJob(windows.length, window);
      const tasks = [];
      for (let start = 0; start < windows.length; start += atOnce) {
        const own = windows.slice(start, start + atOnce);
        tasks.push({
          data: {
            model: original,
            candidate: { ...file, name: 'candidate' },
            windows: own.map(storedWindow),
          },
          label: `windows ${start} to ${start + own.length - 1}`,
          weight: own.length * window,
          needs: needs.measure(own.length * window),
        });
      }
      const keys = await this.fleet.run(tasks, { name: 'measuring', kind: 'measure', onProgress, signal });
      const results = [];
      for (const key of keys) results.push(await readResult(this.fleet.store, 'measure', key, signal));
      const about = { model: compressed.id, kind: program.plan.kind, against: model.id };
      return evaluationOf(scoresOf(results), windows, about);
    } finally {
      await compressed.close();
    }
  }

  private put(model: Model, signal?: AbortSignal): Promise<string> {
    const known = this.models.get(model) ?? putModel(this.fleet.store, model as StoredModel, { signal });
    this.models.set(model, known);
    return known;
  }

  private needsOf(model: Model): Promise<ModelNeeds> {
    const known = this.needs.get(model) ?? ModelNeeds.of(model);
    this.needs.set(model, known);
    return known;
  }

  private async pass(
    model: string,
    needs: ModelNeeds,
    jobs: StoredStatistics['jobs'],
    matrices: readonly TensorInfo[],
    { step, prices, shrinks }: PassSettings,
    { keep, onProgress, signal }: PassOptions,
  ): Promise<Pass> {
    const { fleet } = this;
    const settings = await putSmall(fleet.store, 'settings', {}, [prices, shrinks]);
    const largestFirst = matrices.toSorted((a, b) => elementCount(b.shape) - elementCount(a.shape));
    const tasks = largestFirst.map(({ name, shape }) => ({
      data: { model, tensor: name, statistics: jobs[name] ?? [], step, settings, keep },
      label: name,
      weight: elementCount(shape),
      needs: needs.matrix(name),
    }));
    const counts = new Float64Array(prices.length);
    const counting: Promise<void>[] = [];
    const count = async (key: string) => {
      const counted = countsOf(await readResult(fleet.store, 'matrix', key, signal));
      for (let i = 0; i < counted.length; i += 2) counts[counted[i]!]! += counted[i + 1]!;
    };
    const keys = await fleet.run(tasks, {
      name: keep ? 'quantizing' : 'sampling',
      kind: 'matrix',
      onProgress,
      onResult: (_, key) => {
        const counted = count(key);
        counted.catch(() => {}); // awaited below
        counting.push(counted);
      },
      signal,
    });
    await Promise.all(counting);
    const jobOf = new Map(tasks.map(({ label }, i) => [label, keys[i]!]));
    let encoding: Promise<EncodedMatrices> | undefined;
    const encodeAll = async (tables: Uint8Array) => {
      const stored = await putSmall(fleet.store, 'tables', {}, [tables]);
      const encodeTasks = matrices.map(({ name, shape }) => ({
        data: { matrix: jobOf.get(name)!, tables: stored },
        label: name,
        weight: elementCount(shape),
        needs: needs.encode(name),
      }));
      return new EncodedMatrices(fleet, encodeTasks, signal);
    };
    return {
      counts,
      matrices: {
        payloads: async (tensor, tables) => {
          encoding ??= encodeAll(tables);
          return (await encoding).payloads(tensor);
        },
      },
    };
  }
}
