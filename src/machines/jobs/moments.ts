import { InputError } from '../../core/errors.js';
import type { Feeds } from '../../onnx/runtime.js';
import type { Calibration } from '../../quantization/calibration/calibration.js';
import { tensorNameOf } from '../../quantization/calibration/matmul-sites.js';
import { MomentProducts } from '../../quantization/calibration/moment-products.js';
import { MomentSums } from '../../quantization/calibration/moment-sums.js';
import { embeddingStage, LayerStages, type Stage } from '../../quantization/calibration/stages.js';
import { RowWeights } from '../../quantization/calibration/summing.js';
import { momentsOf, statisticsOf, type Unit, unitsOf } from '../../quantization/calibration/units.js';
import type { Store } from '../../stores/store.js';
import { packTensorMoments } from '../packed-moments.js';
import { type Result, readResult } from '../results.js';
import { openStoredCalibration } from '../stored-text.js';
import type { Work } from '../workplace.js';
import { readRows, readValues, type WindowsHeader } from './windows.js';

/** Statistics that are computed together, from the values that other jobs have stored. */
export interface MomentsData {
  readonly model: string;
  readonly text: string;
  /** Stages that add to the same sums, in the order of the backward pass. */
  readonly stages: readonly string[];
  /** Which of their units. */
  readonly unit: number;
  /** Jobs that stored the values, in the order of the text. */
  readonly windows: readonly string[];
}

/** Sums the moments of one matrix, or of the same matrix of all experts, batch by batch in the order of the text. */
export async function runMoments(data: MomentsData, { place, onProgress }: Work): Promise<Result> {
  const { store, runtime } = place;
  const calibration = await openStoredCalibration(store, data.text, runtime, await place.model(data.model));
  const stages = stagesByName(calibration, data.stages);
  const [first] = stages;
  const unit = unitsOf(first!.moments)[data.unit]!;
  const moments = momentsOf([unit]);
  const names = [...new Set(moments.flatMap(({ values }) => values))];
  const products = new MomentProducts(runtime);
  const sums = new MomentSums(products, moments);
  const rows = new RowWeights(calibration.batches.predictions);
  for await (const { values, share } of oneAhead(storedValues(data, store, names))) {
    await sums.add(feedsOf(names, values, runtime.floats));
    onProgress?.(share);
  }
  await products.release();
  if (isOfRows(unit, first!)) await addRows(rows, data, store);
  const rowsOf = first!.frequencies ?? (() => rows.mean());
  const { predictions } = calibration.batches;
  const { tensors, fewest } = statisticsOf(unit, sums, { predictions, rowsOf });
  const named = tensors.map(([weight, found]) => [tensorNameOf(first!.weights, weight), found] as const);
  return packTensorMoments(named, fewest);
}

/** Yields the values of each batch, in the order of the text, and the share of all that comes with them. */
async function* storedValues({ stages, windows }: MomentsData, store: Store, names: readonly string[]) {
  const parts = windows.length * stages.length;
  let done = 0;
  for (const stage of stages)
    for (const key of windows) {
      const { adds } = (await readResult(store, 'windows', key)).header as WindowsHeader;
      const count = adds[stage]!;
      for (let index = 0; index < count; index++)
        yield {
          values: await readValues(store, key, stage, index, names),
          share: (done + (index + 1) / count) / parts,
        };
      done++;
    }
}

/** Yields items, and asks for the next one while the last is in use. */
async function* oneAhead<Item>(items: AsyncGenerator<Item>): AsyncGenerator<Item> {
  let next = items.next();
  for (;;) {
    const { done, value } = await next;
    if (done) return;
    next = items.next();
    next.catch(() => {}); // thrown when it is awaited
    yield value;
  }
}

/** Returns the stages of a calibration with these names. */
function stagesByName({ program, batches, headStage }: Calibration, names: readonly string[]): Stage[] {
  const layers = new LayerStages(program, batches);
  return names.map((name) => {
    if (name === 'head' && headStage) return headStage();
    if (name === 'embedding') return embeddingStage(program, batches);
    const layer = Number(/^layer-(\d+)$/.exec(name)?.[1]);
    if (!(layer < program.layers.length)) throw new InputError(`the model has no part ${name}`);
    return layers.of(layer);
  });
}

const isOfRows = ({ sites }: Unit, { frequencies }: Stage) =>
  !frequencies && sites.some(({ outputs }) => outputs === undefined);

/** Adds the weights of the rows of the head's matrix: one sum of every batch. */
async function addRows(rows: RowWeights, { windows }: MomentsData, store: Store): Promise<void> {
  for (const key of windows) {
    const { batches } = (await readResult(store, 'windows', key)).header as WindowsHeader;
    for (let index = 0; index < batches; index++) rows.add(await readRows(store, key, index));
  }
}

function feedsOf(
  names: readonly string[],
  values: Awaited<ReturnType<typeof readValues>>,
  tensorOf: (data: Float32Array, dims: readonly number[]) => Feeds[string],
): Feeds {
  return Object.fromEntries(names.map((name, i) => [name, tensorOf(values[i]!.values, values[i]!.dims)]));
}
