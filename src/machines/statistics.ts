import { elementCount } from '../core/dtype.js';
import type { Model } from '../core/model.js';
import { sumOf } from '../core/sum.js';
import { loadRuntime } from '../onnx/node/runtime.js';
import type { Batch } from '../quantization/calibration/batches.js';
import {
  type Calibration,
  openCalibration,
  openEmbeddingCalibration,
} from '../quantization/calibration/calibration.js';
import type { TokenizedText } from '../quantization/calibration/load-statistics.js';
import { tensorNameOf } from '../quantization/calibration/matmul-sites.js';
import { embeddingStage, LayerStages, type Stage } from '../quantization/calibration/stages.js';
import { noteFewTokens } from '../quantization/calibration/summing.js';
import { unitsOf } from '../quantization/calibration/units.js';
import type { OnProgress } from '../quantization/progress.js';
import { batchesPerJob } from './extents.js';
import type { Fleet, Task } from './fleet.js';
import type { MomentsData } from './jobs/moments.js';
import type { WindowsData } from './jobs/windows.js';
import type { ModelNeeds } from './needs.js';
import { type MomentsHeader, StoredStatistics } from './packed-moments.js';
import { hasResult, readResult, removeResult } from './results.js';
import { putText } from './stored-text.js';

/** A model that workers can read. */
export interface FleetModel {
  readonly model: Model;
  /** Its key in the store. */
  readonly key: string;
  readonly needs: ModelNeeds;
}

/**
 * Collects a model's statistics on the workers: one job per few batches of the text runs them forward and back, then one per matrix
 * sums its moments over all batches.
 */
export async function collectOnFleet(
  fleet: Fleet,
  { model, key, needs }: FleetModel,
  text: TokenizedText,
  onProgress: OnProgress,
  signal?: AbortSignal,
): Promise<StoredStatistics> {
  const { store } = fleet;
  const runtime = await loadRuntime();
  const calibration =
    'windows' in text
      ? await openCalibration(runtime, model, text.windows, { signal })
      : await openEmbeddingCalibration(runtime, model, text, { signal });
  const { batches } = calibration.batches;
  const textKey = await putText(store, text);
  const windows = windowTasks(calibration, needs, key, textKey);
  const windowKeys = windows.map(({ data }) => fleet.keyOf('windows', data));
  const groups = stageGroups(calibration);
  const moments = groups.flatMap((group) =>
    momentTasks(group, needs, { model: key, text: textKey, windows: windowKeys }, batches),
  );
  const isKnown = await Promise.all(
    moments.map(({ task }) => hasResult(store, 'moments', fleet.keyOf('moments', task.data))),
  );
  // what the moments are of may have been removed since
  const passed = sumOf(batches, tokensOf);
  const total = 2 * passed;
  if (!isKnown.every(Boolean))
    await fleet.run(windows, {
      name: 'calibrating',
      kind: 'windows',
      onProgress: (done) => onProgress(done, total),
      signal,
    });
  const share = passed / sumOf(moments, ({ task }) => task.weight);
  const keys = await fleet.run(
    moments.map(({ task }) => task),
    {
      name: 'summing',
      kind: 'moments',
      onProgress: (done) => onProgress(passed + done * share, total),
      signal,
    },
  );
  const jobs: Record<string, string[]> = {};
  let fewest = Number.POSITIVE_INFINITY;
  for (const [i, { names }] of moments.entries())
    for (const name of names) jobs[name] = [...(jobs[name] ?? []), keys[i]!];
  for (const [i, { isOfExperts }] of moments.entries()) {
    if (!isOfExperts) continue;
    const { header } = await readResult(store, 'moments', keys[i]!, signal);
    fewest = Math.min(fewest, (header as MomentsHeader).fewest ?? fewest);
  }
  noteFewTokens(fewest, calibration.batches.tokens);
  for (const each of windowKeys) await removeResult(store, 'windows', each).catch(() => {}); // only takes room
  return new StoredStatistics(store, calibration.batches.tokens, jobs);
}

const tokensOf = ({ tokens, length }: Batch) => tokens.length * length;

function windowTasks(
  { program, batches }: Calibration,
  needs: ModelNeeds,
  model: string,
  text: string,
): Task<'windows'>[] {
  const weights = sumOf(program.model.tensors, ({ shape }) => elementCount(shape));
  const { length } = batches.batches;
  const perJob = batchesPerJob(weights, length);
  return Array.from({ length: Math.ceil(length / perJob) }, (_, i) => {
    const range = [i * perJob, Math.min(length, (i + 1) * perJob)] as const;
    const data: WindowsData = { model, text, range };
    const own = batches.batches.slice(...range);
    const tokens = sumOf(own, tokensOf);
    return {
      data,
      label: `batches ${range[0]} to ${range[1] - 1}`,
      weight: tokens,
      needs: needs.windows(tokens, Math.max(...own.map(tokensOf))),
    };
  });
}

/** Returns the stages in the order of the backward pass; those that add to the same sums are together. */
function stageGroups({ program, batches, headStage }: Calibration): Stage[][] {
  const layers = new LayerStages(program, batches);
  const groups: Stage[][] = headStage ? [[headStage()]] : [];
  for (let layer = program.layers.length - 1; layer >= 0; layer--) {
    const stage = layers.of(layer);
    if (stage.continues) groups.at(-1)!.push(stage);
    else groups.push([stage]);
  }
  return [...groups, [embeddingStage(program, batches)]];
}

interface MomentsTask {
  readonly task: Task<'moments'>;
  /** The tensors that it has the statistics of. */
  readonly names: readonly string[];
  readonly isOfExperts: boolean;
}

function momentTasks(
  stages: readonly Stage[],
  needs: ModelNeeds,
  keys: Pick<MomentsData, 'model' | 'text' | 'windows'>,
  batches: readonly Batch[],
): MomentsTask[] {
  const [first] = stages;
  const tokens = sumOf(batches, tokensOf) * stages.length;
  return unitsOf(first!.moments).map(({ sites, chosen }, unit) => {
    const all = sites.map(({ site }) => tensorNameOf(first!.weights, site.weight));
    const names = [...new Set(all)];
    const data: MomentsData = { ...keys, stages: stages.map(({ name }) => name), unit };
    const weight = sumOf(sites, ({ site }) => site.inputSize ** 2 + site.outputSize ** 2);
    const task = { data, label: names[0]!, weight, needs: needs.moments(names[0]!, tokens, batches.length) };
    return { task, names, isOfExperts: chosen !== undefined };
  });
}
