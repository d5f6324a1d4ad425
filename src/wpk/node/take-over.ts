import { openFile } from '../../io/node/file.js';
import { Output } from '../../io/node/output.js';
import { claim, leftoversOf, letGo } from '../../io/node/temporary.js';
import { type Finished, readFinished } from '../resume.js';

/** An output that continues that of an interrupted run. */
export interface TakenOver {
  readonly out: Output;
  readonly finished: Finished;
}

/**
 * Takes over the partial output of an interrupted run by renaming it, so that no two runs continue the same file. Files of running
 * processes and of other machines are not touched.
 * @param front file header and manifest of this run.
 * @returns undefined when there is no partial output.
 * @throws {InputError} when all partial outputs are of another model or other options.
 */
export async function takeOver(
  output: string,
  front: Uint8Array,
  force: boolean,
): Promise<TakenOver | undefined> {
  let refused: unknown;
  for (const { path, isDead } of await leftoversOf(output, 'partial')) {
    const partial = isDead && (await claim(path, output));
    if (!partial) continue;
    try {
      const finished = await readPartial(partial, front);
      return {
        finished,
        out: await Output.resume(output, partial, finished.end, { force, resumable: true }),
      };
    } catch (error) {
      refused = error;
      letGo(partial);
    }
  }
  if (refused) throw refused;
  return undefined;
}

async function readPartial(path: string, front: Uint8Array): Promise<Finished> {
  const source = await openFile(path);
  try {
    return await readFinished(source, front);
  } finally {
    await source.close();
  }
}
