import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { readPieces } from '../core/byte-source.js';
import { openFile } from '../io/node/file.js';
import { hold, letGo } from '../io/node/temporary.js';
import { type Compressed, type CompressOptions, compressBy } from '../operations/compress.js';
import type { Manifest } from '../wpk/manifest.js';
import type { Contents } from '../wpk/stored/contents.js';
import { encodeOnFleet } from './blocks.js';
import { FleetExecution } from './execution.js';
import type { Fleet } from './fleet.js';
import { isInBucket, Outputs, taken } from './outputs.js';

/**
 * Compresses a model on the workers of a fleet. The file is the same as from one process.
 * @param output a path, or `s3://bucket/name.wpk`. @throws as {@link compress}, and for jobs that fail.
 */
export async function compressOnFleet(
  fleet: Fleet,
  source: string,
  output: string,
  options: CompressOptions,
): Promise<Compressed> {
  const { signal, force } = options;
  const means = {
    execution: new FleetExecution(fleet),
    encodeElsewhere: (contents: Contents, manifest: Manifest) =>
      encodeOnFleet(fleet, contents, manifest, signal),
  };
  if (!isInBucket(output)) return compressBy(means, source, output, options);
  const outputs = new Outputs({ force, signal });
  const folder = await mkdtemp(join(tmpdir(), 'weightpress-'));
  hold(folder);
  try {
    if (await outputs.isTaken(output)) throw taken(output);
    const local = join(folder, basename(output));
    const compressed = await compressBy(means, source, local, options);
    const made = await openFile(local);
    await outputs.put(output, readPieces(made, signal)).finally(() => made.close());
    return compressed;
  } finally {
    await outputs.close();
    await rm(folder, { recursive: true, force: true });
    letGo(folder);
  }
}
