import { type Summary, summarize } from '../wpk/summary.js';
import { containerIn, openContainer, openFileNamed } from './decompress.js';
import { beginsAsGguf, type GgufSummary, readGgufSummary } from './quantize/summary.js';

/** How a file is inspected. */
export interface InspectOptions {
  /** Aborts the call. */
  readonly signal?: AbortSignal;
}

/**
 * Returns the content of a .wpk file from its directory, without decoding.
 * @param path a .wpk file: on disk, at an address, or on the Hub.
 * @throws {InputError} when it cannot be read, or is not a .wpk.
 */
export async function inspect(path: string, options: InspectOptions = {}): Promise<Summary> {
  const container = await openContainer(path, options);
  try {
    return summarize(container);
  } finally {
    await container.close();
  }
}

/**
 * Returns the content of a GGUF file from its header: its types, and for one that was quantized here how, and what it loses.
 * @param path a GGUF file: on disk, at an address, or on the Hub.
 * @throws {InputError} when it cannot be read, or is not a GGUF file.
 */
export async function inspectGguf(path: string, options: InspectOptions = {}): Promise<GgufSummary> {
  const source = await openFileNamed(path, options);
  try {
    return await readGgufSummary(source);
  } finally {
    await source.close();
  }
}

/** Returns the content of a .wpk or GGUF file. @throws {InputError} for other files, naming their kind. */
export async function inspectFile(
  path: string,
  options: InspectOptions = {},
): Promise<Summary | GgufSummary> {
  const source = await openFileNamed(path, options);
  if (!(await beginsAsGguf(source))) {
    const container = await containerIn(source);
    try {
      return summarize(container);
    } finally {
      await container.close();
    }
  }
  try {
    return await readGgufSummary(source);
  } finally {
    await source.close();
  }
}
