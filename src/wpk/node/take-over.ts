import { openFile } from '../../io/node/file.js';
import { Output } from '../../io/node/output.js';
import { claim, leftoversOf, letGo } from '../../io/node/temporary.js';
import { type Finished, readFinished } from '../resume.js';

/** An output that goes on from an interrupted run's. */
export interface TakenOver {
  readonly out: Output;
  readonly finished: Finished;
}

/**
 * Takes over what an interrupted run left of `output`, by giving it a name of this run's: no two go on from the same file. What is
 * still being made, and what another machine has left, is not touched.
 * @param front file header and manifest of this run.
 * @returns undefined when nothing was left.
 * @throws {InputError} when all that was left was begun from another model or with other options.
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
