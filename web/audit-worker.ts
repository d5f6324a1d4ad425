// Audits a file in a worker.
import type { Audit } from '../dist/audit/audit.js';
import { auditSource } from '../dist/audit/source.js';
import { open } from '../dist/browser/open.js';
import { isInputError } from '../dist/core/errors.js';
import { BlobSource } from '../dist/io/blob.js';
import { planTensor } from '../dist/wpk/plan.js';

export type Answer = { readonly audit: Audit } | { readonly message: string; readonly input: boolean };

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

self.onmessage = async ({ data: file }: MessageEvent<File>) => {
  const answer = await auditSource(new BlobSource(file), () => verify(file)).then(
    (audit): Answer => ({ audit }),
    (error): Answer => ({ message: String(error?.message ?? error), input: isInputError(error) }),
  );
  self.postMessage(answer);
};
