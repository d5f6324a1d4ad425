import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { type CompressOptions, compress } from '../../src/index.js';
import { compressOnFleet } from '../../src/machines/compress.js';
import { Fleet } from '../../src/machines/fleet.js';
import { runJob } from '../../src/machines/table.js';
import { Workplace } from '../../src/machines/workplace.js';
import { loadRuntime } from '../../src/onnx/node/runtime.js';
import type { Group, GroupHandlers } from '../../src/queue/group.js';
import type { FailedJob, Job } from '../../src/queue/job.js';
import { openStore } from '../../src/stores/open.js';
import { folder, seededRandom } from './safetensors.js';
import { sentences } from './sentences.js';

/** How jobs reach who does them. */
export interface Delivery {
  /** Order of the jobs of a group: reversed, or shuffled from a seed; default: as they were submitted. */
  readonly order?: 'reversed' | number | undefined;
  /** Whether each job runs twice: at the same time, or again when it is done. */
  readonly twice?: 'together' | 'again' | undefined;
}

/** Does jobs in this process, in any order, on a store. */
class LocalSubmitter {
  /** Jobs in the order in which they were delivered. */
  readonly delivered: Job[] = [];

  constructor(
    private readonly place: Workplace,
    private readonly delivery: Delivery,
  ) {}

  async runJobs(
    _: Group,
    jobs: readonly Job[],
    { onDone, signal }: GroupHandlers = {},
  ): Promise<FailedJob[]> {
    const { twice } = this.delivery;
    const failed: FailedJob[] = [];
    for (const job of inOrder(jobs, this.delivery)) {
      signal?.throwIfAborted();
      this.delivered.push(job);
      const carried = JSON.parse(JSON.stringify(job)) as Job; // as a queue hands it on
      try {
        const run = () => runJob(carried, this.place, { onProgress: () => {} });
        const [returned] = await Promise.all(twice === 'together' ? [run(), run()] : [run()]);
        if (twice === 'again') await run();
        await onDone?.(job, returned!);
      } catch (error) {
        failed.push({ job, reason: (error as Error).message });
      }
    }
    return failed;
  }

  async close(): Promise<void> {
    await this.place.close();
  }
}

function inOrder(jobs: readonly Job[], { order }: Delivery): readonly Job[] {
  if (order === undefined) return jobs;
  if (order === 'reversed') return jobs.toReversed();
  const random = seededRandom(order);
  return jobs
    .map((job) => ({ job, at: random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ job }) => job);
}

/** A fleet whose only worker is this process. */
export interface LocalFleet {
  readonly fleet: Fleet;
  readonly submitter: LocalSubmitter;
  /** Folder of the store. */
  readonly store: string;
}

/** Opens a fleet whose jobs run in this process. @param store a folder; default: a new one. */
export async function localFleet(delivery: Delivery = {}, store = folder()): Promise<LocalFleet> {
  const submitter = new LocalSubmitter(new Workplace(await openStore(store), await loadRuntime()), delivery);
  const identity = { version: '1', arithmetic: 'of this process' };
  return { fleet: new Fleet(await openStore(store), submitter, identity), submitter, store };
}

/** A text for fixtures with a tokenizer of words, and as few of its tokens as make ten windows. */
export const calibration = { text: sentences(700).join('\n'), name: 'lines', tokens: 640 };

/** Compresses a model in one process and by jobs, and compares the files. @returns the kinds of the jobs, as they were delivered. */
export async function sameBytes(
  model: string,
  options: CompressOptions,
  delivery: Delivery,
): Promise<string[]> {
  const out = folder();
  await compress(model, join(out, 'one.wpk'), { ...options, threads: 0 });
  const { fleet, submitter } = await localFleet(delivery);
  await compressOnFleet(fleet, model, join(out, 'many.wpk'), options);
  await fleet.close();
  expect(await digestOf(join(out, 'many.wpk'))).toBe(await digestOf(join(out, 'one.wpk')));
  return submitter.delivered.map(({ kind }) => kind);
}

/** Returns the SHA-256 of a file, hexadecimal. */
export async function digestOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const piece of createReadStream(path)) hash.update(piece);
  return hash.digest('hex');
}
