import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { readPieces } from '../../core/byte-source.js';
import { InputError } from '../../core/errors.js';
import { problemOfPath } from '../../core/file-name.js';
import { sumOf } from '../../core/sum.js';
import { writePieces } from '../../io/node/checked-output.js';
import { openFile } from '../../io/node/file.js';
import { type CatalogEntry, catalogEntry } from '../../operations/catalog.js';
import { compress } from '../../operations/compress.js';
import type { Budget } from '../../quantization/rate-control/budget.js';
import { readPacked } from '../../stores/checked.js';
import { openStoredFile, putFile, type StoredFile } from '../../stores/content.js';
import type { Store } from '../../stores/store.js';
import type { Result } from '../results.js';
import type { Work } from '../workplace.js';

/** A model to compress on one machine. */
export interface ModelData {
  /** What the user calls it; its last part is the name in the file. */
  readonly name: string;
  /** Its files in the store; null for a model on the Hub, whose name then has a revision. */
  readonly files: readonly StoredFile[] | null;
  /** Its empty folders, and those whose content is never stored: the file names them. */
  readonly folders: readonly string[];
  /** Whether it is a folder, or one file. */
  readonly isFolder: boolean;
  /** Null: lossless. */
  readonly budget: Budget | null;
  /** Null without calibration. */
  readonly calibration: CalibrationData | null;
}

/** The calibration text of a model's budget. */
export interface CalibrationData {
  /** Key of the text in the store. */
  readonly text: string;
  readonly name: string;
  readonly tokens: number | null;
}

/** What the result says. */
export interface ModelHeader extends Record<string, unknown> {
  /** The .wpk in the store. */
  readonly file: StoredFile;
  readonly entry: CatalogEntry;
}

/** Bytes of a model for which starting threads takes longer than what they would do. */
const SMALL_BYTES = 2 ** 26;

/** Compresses a model as one process does, in a temporary folder. The file is then in the store. */
export async function runModel(data: ModelData, { place, onProgress }: Work): Promise<Result> {
  const { store } = place;
  checkNames(data);
  const folder = await mkdtemp(join(tmpdir(), 'weightpress-'));
  try {
    const source = data.files ? await fetchModel(store, data, folder) : data.name;
    const output = join(folder, 'out.wpk');
    const { budget } = data;
    await compress(source, output, {
      ...(budget && { budget, calibration: await calibrationOf(store, data.calibration) }),
      threads: isSmall(data) ? 0 : 1,
      onProgress: ({ done, total }) => onProgress?.(done / total),
    });
    const made = await openFile(output);
    const file = await putFile(store, made).finally(() => made.close());
    const entry = await catalogEntry(output, data.name);
    return { header: { file, entry } satisfies ModelHeader };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** A model of the Hub at one commit: nothing on the worker's own disk. */
const HUB_NAME = /^[\w.-]+\/[\w.-]+@[0-9a-f]{40}$/;

/** Checks names that came from the queue before they touch the disk. @throws {InputError} for one that leaves its folder. */
function checkNames({ name, files, folders }: ModelData): void {
  const names = files ? [name, ...folders, ...files.map((file) => file.name)] : [];
  const problem = names.map(problemOfPath).find((found) => found !== undefined);
  if (problem !== undefined) throw new InputError(`the name of a file ${problem}`);
  if (!files && !HUB_NAME.test(name))
    throw new InputError('expected a model of the Hub, user/name@commit', { file: name });
}

function isSmall({ files }: ModelData): boolean {
  return files !== null && sumOf(files, ({ bytes }) => bytes) <= SMALL_BYTES;
}

async function calibrationOf(store: Store, calibration: CalibrationData | null) {
  if (!calibration) return false;
  const { text, name, tokens } = calibration;
  const stored = (await readPacked(store, text)).header.text as string;
  return { text: stored, name, ...(tokens !== null && { tokens }) };
}

/** Copies a model from the store into a folder. @returns its path. */
async function fetchModel(
  store: Store,
  { name, files, folders, isFolder }: ModelData,
  folder: string,
): Promise<string> {
  const top = join(folder, isFolder ? name : '.');
  for (const each of folders) await mkdir(join(top, each), { recursive: true });
  for (const file of files!) {
    const path = join(top, file.name);
    await mkdir(dirname(path), { recursive: true });
    const source = await openStoredFile(store, file);
    await writePieces(path, readPieces(source), false).finally(() => source.close());
  }
  return isFolder ? top : join(top, files![0]!.name);
}
