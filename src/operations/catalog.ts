import { relative } from 'node:path';
import { isInputError } from '../core/errors.js';
import { Meter, type RunOptions } from '../core/progress.js';
import { openFile } from '../io/node/file.js';
import { findLicense } from '../models/license.js';
import { findBaseOf } from '../open/open.js';
import { openWpk } from '../wpk/original.js';
import { FURTHER } from '../wpk/stored/role.js';
import { isLossless, type Summary, summarize } from '../wpk/summary.js';
import { verify } from './verify.js';
import { wpkFilesIn } from './wpk-files.js';

/** A .wpk file in a folder. */
export interface CatalogEntry {
  /** Its path, relative to the folder. */
  readonly file: string;
  /** The compressed model; undefined, like all fields below, for an unreadable file. */
  readonly model: string | undefined;
  /** Number of elements without buffers; duplicate tensors count once. */
  readonly parameters: number | undefined;
  /** Bytes of all files that it was made of. */
  readonly originalBytes: number | undefined;
  /** Bytes of the file. */
  readonly compressedBytes: number | undefined;
  /** Original over compressed bytes. */
  readonly ratio: number | undefined;
  /** Bits of the file per parameter. */
  readonly bitsPerWeight: number | undefined;
  /** True when every tensor is restored bit for bit. */
  readonly lossless: boolean | undefined;
  /** The perplexity that is stored in the file; undefined where none was measured. */
  readonly perplexity: number | undefined;
  /** The KL divergence from the original that is stored in the file, in nats per token; undefined where none was measured. */
  readonly klNats: number | undefined;
  /** For an embedding model: the mean cosine with the original's embeddings that is stored in the file; undefined where none was measured. */
  readonly cosine: number | undefined;
  /** The license of the original, as an SPDX identifier; `unknown` where its files do not say. */
  readonly license: string | undefined;
  /** Whether all blocks were decoded and match their checksums; undefined without `verify`. */
  readonly verified: boolean | undefined;
  /** Why the file is unreadable, or the first problem found by verification. */
  readonly problem: string | undefined;
}

/** How {@link catalog} runs. */
export interface CatalogOptions extends RunOptions {
  /** Decodes and checks every file, not only its directory. */
  readonly verify?: boolean | undefined;
}

/**
 * Lists every .wpk file below a folder, in the order of their paths. A file that cannot be read is an entry with its problem.
 * @throws {InputError} when the folder cannot be read. @throws the signal's reason once it is aborted.
 */
export async function catalog(folder: string, options: CatalogOptions = {}): Promise<CatalogEntry[]> {
  const paths = await wpkFilesIn(folder);
  const meter = new Meter(options, 'reading', paths.length, 'files');
  meter.reach(0);
  const entries: CatalogEntry[] = [];
  for (const path of paths) {
    entries.push(await catalogEntry(path, relative(folder, path), options));
    meter.add(1);
  }
  return entries;
}

const UNKNOWN = {
  model: undefined,
  parameters: undefined,
  originalBytes: undefined,
  compressedBytes: undefined,
  ratio: undefined,
  bitsPerWeight: undefined,
  lossless: undefined,
  perplexity: undefined,
  klNats: undefined,
  cosine: undefined,
  license: undefined,
  verified: undefined,
  problem: undefined,
} as const satisfies Omit<CatalogEntry, 'file'>;

/** Describes a .wpk file. @param file what its entry calls it. */
export async function catalogEntry(
  path: string,
  file: string,
  options: CatalogOptions = {},
): Promise<CatalogEntry> {
  try {
    const model = await openWpk(await openFile(path), undefined, findBaseOf(undefined));
    try {
      const license = (await findLicense(model.sideFiles)).id;
      const entry = { ...UNKNOWN, ...figures(summarize(model.container)), file, license };
      if (!options.verify) return entry;
      const { good, problems } = await verify(path, { signal: options.signal });
      return { ...entry, verified: good, problem: problems[0] };
    } finally {
      await model.close();
    }
  } catch (error) {
    if (!isInputError(error)) throw error;
    return { ...UNKNOWN, file, problem: error.message };
  }
}

function figures({ source, tensors, originalBytes, fileBytes, quality }: Summary) {
  const parameters = tensors
    .filter(({ role, sameAs }) => role !== 'buffer' && role !== FURTHER && sameAs === undefined)
    .reduce((sum, { elements }) => sum + elements, 0);
  const meanOf = (measure: unknown) => (measure as { readonly mean?: unknown } | undefined)?.mean;
  return {
    model: source,
    parameters,
    originalBytes,
    compressedBytes: fileBytes,
    ratio: originalBytes / fileBytes,
    bitsPerWeight: parameters ? (fileBytes * 8) / parameters : undefined,
    lossless: isLossless(tensors),
    perplexity: numberOr(quality?.perplexity),
    klNats: numberOr(meanOf(quality?.kl)),
    cosine: numberOr(meanOf(quality?.cosine)),
  };
}

function numberOr(value: unknown): number | undefined {
  return typeof value === 'number' ? value : undefined;
}
