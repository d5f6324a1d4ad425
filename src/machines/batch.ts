import { join } from 'node:path';
import { readPieces } from '../core/byte-source.js';
import { InputError, isInputError } from '../core/errors.js';
import type { Folder } from '../core/folder.js';
import { selectFiles } from '../models/folder/selection.js';
import { openFiles, openModel } from '../open/open.js';
import type { CatalogEntry } from '../operations/catalog.js';
import type { CalibrationSource } from '../quantization/calibration/calibrate.js';
import type { Budget } from '../quantization/rate-control/budget.js';
import { forEachLimited } from '../queue/limited.js';
import { openStoredFile, putFile, type StoredFile } from '../stores/content.js';
import { sourceOf } from '../wpk/node/manifest.js';
import type { Fleet } from './fleet.js';
import type { ModelData, ModelHeader } from './jobs/model.js';
import { ModelNeeds } from './needs.js';
import { isInBucket, Outputs } from './outputs.js';
import { readResult } from './results.js';
import { putSmall } from './stored-model.js';

/** A model of a catalog. */
export interface BatchItem {
  /** A path, or a name on the Hub. */
  readonly source: string;
  /** A path, or `s3://bucket/name.wpk`. */
  readonly output: string;
  /** Undefined: lossless. */
  readonly budget: Budget | undefined;
  /** For a budget; false: none. */
  readonly calibration: CalibrationSource | false;
}

/** What became of a model. */
export type BatchRow = { readonly source: string; readonly output: string } & (
  | { readonly state: 'done'; readonly entry: CatalogEntry }
  /** The output was there, and nothing was done. */
  | { readonly state: 'exists' }
  | { readonly state: 'failed'; readonly reason: string }
);

export interface BatchOptions {
  readonly force?: boolean | undefined;
  /** Is called with each model as it ends. */
  readonly onRow: (row: BatchRow) => void;
  readonly signal?: AbortSignal | undefined;
}

/** Memory of a lossless compression, whatever the model. */
const LOSSLESS_BYTES = 2 ** 29;
/** A day: a model takes minutes to hours. */
const LIMIT_SECONDS = 24 * 3600;
/** Tokens that run together. */
const BATCH_TOKENS = 1024;

/** Models whose files are in the store and whose jobs are not done. */
const MAX_WAITING = 64;

/** Compresses models, each as one job. One that fails does not stop the others. */
export async function batch(fleet: Fleet, items: readonly BatchItem[], options: BatchOptions): Promise<void> {
  const outputs = new Set<string>();
  for (const { output } of items) {
    if (outputs.has(output)) throw new InputError('is the output of two models', { file: output });
    outputs.add(output);
  }
  const { signal, onRow } = options;
  const written = new Outputs(options);
  try {
    await forEachLimited(items, MAX_WAITING, async (item) => {
      signal?.throwIfAborted();
      onRow(await row(fleet, written, item, signal));
    });
  } finally {
    await written.close();
  }
}

async function row(
  fleet: Fleet,
  outputs: Outputs,
  item: BatchItem,
  signal: AbortSignal | undefined,
): Promise<BatchRow> {
  const { source, output } = item;
  try {
    if (await outputs.isTaken(output)) return { source, output, state: 'exists' };
    const data = await dataOf(fleet, item);
    const needs = { memoryBytes: await memoryOf(item), limitSeconds: LIMIT_SECONDS };
    const [key] = await fleet.run([{ data, label: source, weight: 1, needs }], {
      name: source,
      kind: 'model',
      signal,
    });
    const { file, entry } = (await readResult(fleet.store, 'model', key!, signal)).header as ModelHeader;
    await fetchOutput(fleet, outputs, file, output, signal);
    return { source, output, state: 'done', entry: { ...entry, file: output } };
  } catch (error) {
    signal?.throwIfAborted();
    if (!isInputError(error)) throw error;
    return { source, output, state: 'failed', reason: error.message };
  }
}

/** Returns what a worker needs for a model. @throws {InputError} for one that cannot be opened. */
async function memoryOf({ source, budget }: BatchItem): Promise<number> {
  if (!budget) return LOSSLESS_BYTES;
  const model = await openModel(source);
  try {
    return Math.round((await ModelNeeds.of(model)).whole(BATCH_TOKENS));
  } finally {
    await model.close();
  }
}

/** Copies a model to the store, unless workers can read it from the Hub. */
async function dataOf({ store }: Fleet, item: BatchItem): Promise<ModelData> {
  const { source, budget = null, calibration } = item;
  const folder = await openFiles(source);
  try {
    const isFolder = folder.kind !== 'file';
    const common = { isFolder, budget, calibration: null };
    const text =
      budget && calibration ? { ...common, calibration: await putCalibration(store, calibration) } : common;
    if (folder.kind === 'hub') return { name: folder.id, files: null, folders: [], ...text };
    const found = await contentOf(folder, budget !== null);
    const files: StoredFile[] = [];
    for (const { name } of found.files) {
      const opened = await folder.open(name);
      files.push({ ...(await putFile(store, opened).finally(() => opened.close())), name });
    }
    return { name: await sourceOf(folder), files, folders: found.folders, ...text };
  } finally {
    await folder.close();
  }
}

/**
 * Returns what one process would take of a folder: a lossy file has its files, a lossless one also names folders that are empty or left out.
 * @throws {InputError} naming an entry that a lossless file cannot have.
 */
async function contentOf(folder: Folder, isLossy: boolean) {
  if (isLossy) {
    const files = [...(await folder.list())].sort((a, b) => (a.name < b.name ? -1 : 1));
    return { files, folders: [] }; // in an order that is always the same: it is part of the job's name
  }
  const { files, emptyFolders, leftOut } = await selectFiles(folder);
  return { files, folders: [...emptyFolders, ...leftOut.map(({ name }) => name)] };
}

async function putCalibration(store: Fleet['store'], { text, name, tokens }: CalibrationSource) {
  return { text: await putSmall(store, 'texts', { text }), name, tokens: tokens ?? null };
}

/** Copies a finished file from the store to its place. */
async function fetchOutput(
  { store }: Fleet,
  outputs: Outputs,
  file: StoredFile,
  output: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const source = await openStoredFile(store, file, signal);
  await outputs.put(output, readPieces(source, signal)).finally(() => source.close());
}

/** Returns where a model of a catalog goes by default: its name in a folder, or below an address. */
export function outputIn(folder: string, name: string): string {
  return isInBucket(folder) ? `${folder.replace(/\/+$/, '')}/${name}.wpk` : join(folder, `${name}.wpk`);
}
