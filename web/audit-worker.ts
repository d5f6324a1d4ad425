// Audits a file in a worker.
import { auditSource } from '../dist/audit/source.js';
import { open } from '../dist/browser/open.js';
import { isInputError } from '../dist/core/errors.js';
import { BlobSource } from '../dist/io/blob.js';
import { servePage } from '../dist/workers/browser/web-worker.js';
import { planTensor } from '../dist/wpk/plan.js';

/** Decodes and checks a .wpk like `weightpress verify`, up to the first problem. */
async function verify(file: Blob) {
  let [blocks, tensors, files, decodedBytes] = [0, 0, 0, 0];
  const problems: string[] = [];
  const model = await open(file);
  try {
    for await (const { lengthBytes } of model.all()) decodedBytes += lengthBytes;
    const { directory } = model.container;
    blocks = directory.tensors.reduce((sum, tensor) => sum + planTensor(tensor).length, 0);
    tensors = directory.tensors.length;
    files = directory.sideFiles.length + directory.weightFiles.length;
  } catch (error) {
    if (!isInputError(error)) throw error;
    problems.push(error.message);
  } finally {
    await model.close();
  }
  const good = problems.length === 0;
  return { good, problems, blocks, tensors, files, decodedBytes, bitExact: undefined, error: undefined };
}

const JOBS = { audit: (file: Blob) => auditSource(new BlobSource(file), () => verify(file)) };
export type AuditJobs = typeof JOBS;

servePage(JOBS);
