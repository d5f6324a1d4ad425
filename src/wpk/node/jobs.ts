import { LOSSLESS } from '../../codecs/codec.js';
import { readFromDescriptor } from '../../io/node/file.js';
import { losslessKernels } from '../../wasm/lossless.js';
import type { BasePlace } from '../base.js';
import { BLOCK_JOBS, type DecodeJob, decode, decodeInto, memoryFor } from '../jobs.js';
import { decodeFrame } from '../reader.js';

/** Reads a base's elements into the memory of the kernels that need them. */
function readBase({ descriptor, start, end, file, frameOf }: BasePlace): Uint8Array {
  const { buffers, fromBase } = losslessKernels();
  const { base } = fromBase.buffers;
  const bytes = (frameOf ? buffers.payload : base).subarray(0, end - start);
  readFromDescriptor(descriptor, bytes, start, file);
  if (!frameOf) return bytes;
  const { tensor: name, block } = frameOf;
  const elements = decodeFrame(bytes, { start, end, block }, { name, codec: LOSSLESS }, {}, file);
  base.set(elements);
  return base.subarray(0, elements.length);
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
