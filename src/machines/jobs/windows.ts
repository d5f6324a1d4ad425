import { type Feeds, floatsOf } from '../../onnx/runtime.js';
import { memoryStore } from '../../quantization/calibration/array-store.js';
import { Backpropagation } from '../../quantization/calibration/backpropagation.js';
import type { Receiver, StageReceiver } from '../../quantization/calibration/receiver.js';
import type { Stage } from '../../quantization/calibration/stages.js';
import { momentsOf, unitsOf } from '../../quantization/calibration/units.js';
import { packedPieces, readPacked } from '../../stores/checked.js';
import type { Store } from '../../stores/store.js';
import { folderOf, type Result } from '../results.js';
import { openStoredCalibration } from '../stored-text.js';
import type { Work } from '../workplace.js';

/** Batches of a calibration text to run forward and back. */
export interface WindowsData {
  /** Keys in the store. */
  readonly model: string;
  readonly text: string;
  /** Index of the first batch, and of the one behind the last. */
  readonly range: readonly [first: number, end: number];
}

/** What the result says: how often each stage handed on values, over all batches of the job. */
export interface WindowsHeader extends Record<string, unknown> {
  readonly adds: Readonly<Record<string, number>>;
  /** Batches of the job. */
  readonly batches: number;
}

/**
 * Runs batches forward through all layers and back, and stores what moments are of: inputs of matrices, and gradients of their outputs.
 * Memory holds the weights of one layer, and the values of two batches.
 */
export async function runWindows({ model, text, range }: WindowsData, work: Work): Promise<Result> {
  const { place, key, onProgress } = work;
  const calibration = await openStoredCalibration(place.store, text, place.runtime, await place.model(model));
  const storing = new Storing(place.store, key);
  await new Backpropagation(place.runtime, calibration, {
    store: memoryStore,
    range,
    onProgress: (done, total) => onProgress?.(done / total),
  }).run(storing);
  await storing.finish();
  const batches = Math.min(range[1], calibration.batches.batches.length) - range[0];
  return { header: { adds: storing.adds, batches } satisfies WindowsHeader };
}

/** Reads the values of a stage that a job has stored, as they were handed on. @param index of the call, from 0. */
export async function readValues(
  store: Store,
  key: string,
  stage: string,
  index: number,
  names: readonly string[],
): Promise<readonly { readonly values: Float32Array; readonly dims: readonly number[] }[]> {
  return Promise.all(
    names.map(async (name) => {
      const { header, arrays } = await readPacked(store, valueKey(key, stage, index, name));
      return { values: arrays[0] as Float32Array, dims: header.dims as readonly number[] };
    }),
  );
}

/** Reads the sums of p (1 - p) of a job's batches. @param index of the batch, from 0. */
export async function readRows(store: Store, key: string, index: number): Promise<Float64Array> {
  return (await readPacked(store, rowsKey(key, index))).arrays[0] as Float64Array;
}

const valueKey = (key: string, stage: string, index: number, name: string) =>
  `${folderOf('windows', key)}/${stage}/${index}/${name}`;
const rowsKey = (key: string, index: number) => `${folderOf('windows', key)}/rows/${index}`;

/** Stores values while the next ones are computed. Those of an earlier attempt stay, as they are the same. */
class Storing implements Receiver {
  readonly adds: Record<string, number> = {};
  private writing: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly store: Store,
    private readonly key: string,
  ) {}

  async open({ name, moments }: Stage): Promise<StageReceiver> {
    const outputs = new Set(momentsOf(unitsOf(moments)).flatMap(({ values }) => values));
    let [index, batch] = [0, 0];
    return {
      add: async (values: Feeds) => {
        await this.writing;
        const own = index++;
        this.put(
          [...outputs].map((output) => {
            const pieces = packedPieces({ dims: values[output]!.dims }, [floatsOf(values[output]).slice()]);
            return [valueKey(this.key, name, own, output), pieces];
          }),
        );
      },
      addRows: async (weights) => {
        await this.writing;
        this.put([[rowsKey(this.key, batch++), packedPieces({}, [weights])]]);
      },
      close: async () => {
        this.adds[name] = index;
      },
    };
  }

  /** Waits until all is stored. */
  async finish(): Promise<void> {
    await this.writing;
  }

  private put(objects: readonly (readonly [key: string, pieces: Iterable<Uint8Array>])[]): void {
    this.writing = Promise.all(
      objects.map(async ([key, pieces]) => {
        await this.store.write(key, pieces);
      }),
    );
    this.writing.catch(() => {}); // thrown to who stores the next values
  }
}
