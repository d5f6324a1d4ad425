import { blocksOf } from '../codecs/lossless/block.js';
import { DTYPE_BYTES } from '../core/dtype.js';
import type { MadeFrames } from '../operations/lossless/encode.js';
import { cutBytes } from '../stores/checked.js';
import { putFile } from '../stores/content.js';
import type { Manifest } from '../wpk/manifest.js';
import type { Contents } from '../wpk/stored/contents.js';
import type { Fleet, Task } from './fleet.js';
import type { BlockRun } from './jobs/blocks.js';
import { needs } from './needs.js';
import { RATES } from './plan/rates.js';
import { readResult } from './results.js';

/** Bytes of elements that one job encodes: some seconds of work. */
const JOB_BYTES = 2 ** 26;

/** A task, and which blocks it encodes. */
interface BlocksTask extends Task<'blocks'> {
  readonly places: readonly Place[];
}

interface Place {
  /** Index in the manifest. */
  readonly tensor: number;
  /** Index in the tensor. */
  readonly block: number;
}

/** Copies weight files to the store, and has workers encode their blocks. @returns the frames, as they are done. */
export async function encodeOnFleet(
  fleet: Fleet,
  contents: Contents,
  manifest: Manifest,
  signal?: AbortSignal,
): Promise<MadeFrames> {
  const tasks = await tasksOf(fleet, contents, manifest, signal);
  const jobs = new Map<string, number>();
  for (const [i, { places }] of tasks.entries()) for (const place of places) jobs.set(nameOf(place), i);
  const done = fleet.begin(tasks, { name: 'compressing', kind: 'blocks', signal });
  let held: { readonly job: number; readonly frames: Promise<Map<string, Uint8Array>> } | undefined;
  const framesOf = async (job: number) => {
    const { header, arrays } = await readResult(fleet.store, 'blocks', await done[job]!, signal);
    const frames = cutBytes(arrays[0] as Uint8Array, header.lengths as number[]);
    return new Map(tasks[job]!.places.map((place, i) => [nameOf(place), frames[i]!]));
  };
  return {
    frame: async (tensor, block) => {
      const name = nameOf({ tensor, block });
      const job = jobs.get(name)!;
      // frames are asked for in the order of the file
      if (held?.job !== job) held = { job, frames: framesOf(job) };
      return (await held.frames).get(name)!;
    },
  };
}

const nameOf = ({ tensor, block }: Place) => `${tensor} ${block}`;

async function tasksOf(
  { store }: Fleet,
  { weightSources }: Contents,
  manifest: Manifest,
  signal: AbortSignal | undefined,
): Promise<BlocksTask[]> {
  const tasks: BlocksTask[] = [];
  let tensor = 0;
  for (const { name, source, tensors } of weightSources) {
    const file = { ...(await putFile(store, source, { signal })), name };
    let runs: BlockRun[] = [];
    let places: Place[] = [];
    let bytes = 0;
    const end = () => {
      if (places.length)
        tasks.push({
          data: { file, runs },
          label: `${name}, part ${tasks.length}`,
          weight: bytes,
          // elements and frames
          needs: needs(3 * bytes, bytes * RATES.lossless.seconds),
          places,
        });
      [runs, places, bytes] = [[], [], 0];
    };
    for (const { dtype, shape, start } of tensors) {
      const index = tensor++;
      if (manifest.tensors[index]!.sameAs !== undefined) continue;
      let first = 0;
      const blocks = [...blocksOf(dtype, shape)];
      for (const [block, each] of blocks.entries()) {
        places.push({ tensor: index, block });
        bytes += each.count * DTYPE_BYTES[dtype];
        if (bytes < JOB_BYTES && block < blocks.length - 1) continue;
        runs.push({ dtype, shape, start, range: [first, block + 1] });
        first = block + 1;
        if (bytes >= JOB_BYTES) end();
      }
    }
    end();
  }
  return tasks;
}
