import { readFromDescriptor } from '../../io/node/file.js';
import { BLOCK_JOBS, type DecodeJob, decode, decodeInto, memoryFor } from '../jobs.js';

/** The jobs of threads of this machine, which read frames themselves: no other thread has to touch them. */
export const NODE_BLOCK_JOBS = {
  ...BLOCK_JOBS,

  decode(job: DecodeJob): Uint8Array {
    if (job.descriptor === undefined) return decode(job);
    const frame = memoryFor(job);
    readFromDescriptor(job.descriptor, frame, job.planned.start, job.file);
    return decodeInto(job.bytes, frame, job);
  },
};
