import type { FilePlace } from '../../core/byte-source.js';
import { readFromDescriptor } from '../../io/node/file.js';
import { losslessKernels } from '../../wasm/lossless.js';
import { BLOCK_JOBS, type DecodeJob, decode, decodeInto, memoryFor } from '../jobs.js';

/** Reads a base's elements into the memory of the kernels that need them. */
function readBase({ descriptor, start, end, file }: FilePlace): Uint8Array {
  const elements = losslessKernels().fromBase.buffers.base.subarray(0, end - start);
  readFromDescriptor(descriptor, elements, start, file);
  return elements;
}

/** The jobs of threads of this machine, which read frames themselves: no other thread has to touch them. */
export const NODE_BLOCK_JOBS = {
  ...BLOCK_JOBS,

  decode(given: DecodeJob): Uint8Array {
    const { basePlace } = given;
    const job = basePlace ? { ...given, side: { ...given.side, base: readBase(basePlace) } } : given;
    if (job.descriptor === undefined) return decode(job);
    const frame = memoryFor(job);
    readFromDescriptor(job.descriptor, frame, job.planned.start, job.file);
    return decodeInto(job.bytes, frame, job);
  },
};
