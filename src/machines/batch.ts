import { stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { InputError, isInputError } from '../core/errors.js';
import { Output } from '../io/node/output.js';
import { openFiles, openModel } from '../open/open.js';
import type { CatalogEntry } from '../operations/catalog.js';
import type { CalibrationSource } from '../quantization/calibration/calibrate.js';
import type { Budget } from '../quantization/rate-control/budget.js';
import { openStoredFile, putFile, type StoredFile } from '../stores/content.js';
import { openDestination, piecesOf } from './destination.js';
import type { Fleet } from './fleet.js';
import type { ModelData, ModelHeader } from './jobs/model.js';
import { ModelNeeds } from './needs.js';
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
  const running = new Set<Promise<void>>();
  for (const item of items) {
    options.signal?.throwIfAborted();
    const task = row(fleet, item, options).then((found) => options.onRow(found));
    const settled = task.finally(() => running.delete(settled));
    settled.catch(() => {}); // awaited below
    running.add(settled);
    while (running.size >= MAX_WAITING) await Promise.race(running);
  }
  await Promise.all(running);
}

async function row(fleet: Fleet, item: BatchItem, options: BatchOptions): Promise<BatchRow> {
  const { source, output } = item;
  try {
    if (!options.force && (await isThere(output))) return { source, output, state: 'exists' };
    const data = await dataOf(fleet, item);
    const needs = { memoryBytes: await memoryOf(item), limitSeconds: LIMIT_SECONDS };
    const [key] = await fleet.run([{ data, label: source, weight: 1, needs }], {
      name: source,
      kind: 'model',
      signal: options.signal,
    });
    const { file, entry } = (await readResult(fleet.store, 'model', key!, options.signal))
      .header as ModelHeader;
    await fetchOutput(fleet, file, output, options);
    return { source, output, state: 'done', entry: { ...entry, file: output } };
  } catch (error) {
    options.signal?.throwIfAborted();
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

async function isThere(output: string): Promise<boolean> {
  if (!output.startsWith('s3://')) return (await stat(output).catch(() => undefined)) !== undefined;
  try {
    await (await openDestination(output))!.close();
    return false;
  } catch (error) {
    if (isInputError(error) && error.code === 'exists') return true;
    throw error;
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
    if (folder.kind === 'hub') return { name: folder.id, files: null, ...text };
    const files: StoredFile[] = [];
    for (const { name } of [...(await folder.list())].sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const opened = await folder.open(name);
      files.push({ ...(await putFile(store, opened).finally(() => opened.close())), name });
    }
    return { name: basename(resolve(source)), files, ...text };
  } finally {
    await folder.close();
  }
}

async function putCalibration(store: Fleet['store'], { text, name, tokens }: CalibrationSource) {
  return { text: await putSmall(store, 'texts', { text }), name, tokens: tokens ?? null };
}

/** Copies a finished file from the store to its place. */
async function fetchOutput(
  { store }: Fleet,
  file: StoredFile,
  output: string,
  { force = false, signal }: BatchOptions,
): Promise<void> {
  const source = await openStoredFile(store, file, signal);
  const destination = await openDestination(output, { force, signal });
  try {
    if (destination) await destination.put(piecesOf(source, signal), signal);
    else await writeFile(output, piecesOf(source, signal), force);
  } finally {
    await source.close();
    await destination?.close();
  }
}

async function writeFile(path: string, pieces: AsyncIterable<Uint8Array>, force: boolean): Promise<void> {
  const out = await Output.create(path, { force });
  try {
    for await (const piece of pieces) await out.write(piece);
    await out.finish();
  } catch (error) {
    await out.discard();
    throw error;
  }
}

/** Returns where a model of a catalog goes by default: its name in a folder, or below an address. */
export function outputIn(folder: string, name: string): string {
  return folder.startsWith('s3://')
    ? `${folder.replace(/\/+$/, '')}/${name}.wpk`
    : join(folder, `${name}.wpk`);
}
