import { InputError } from '../errors.js';
import { isGguf } from '../formats/gguf/header.js';
import type { Model } from '../formats/model.js';
import { isCheckpoint } from '../formats/pytorch/checkpoint.js';
import { openFile } from '../io/file.js';
import { openModel } from '../models.js';
import { type Audit, auditArtefact, auditModel } from './audit.js';
import { containerStatements } from './container.js';
import { auditGguf } from './gguf.js';
import { isPickle, openPickle } from './pickles.js';
import { weightStatements } from './weights.js';

/**
 * Audits a file or folder, whatever it holds, told by its first bytes. @param against the model that it is said to come from.
 * @throws {InputError} when it cannot be read, or asks to run something.
 */
export async function auditFile(path: string, against?: Model): Promise<Audit> {
  const source = await openFile(path).catch((error) => {
    if (error instanceof InputError && /not a regular file/.test(error.message)) return undefined;
    throw error;
  });
  try {
    const prefix = source && (await source.read(0, Math.min(16, source.byteLength)));
    if (source && prefix && isGguf(prefix)) return await withWeights(await auditGguf(source), path, against);
    if (source && prefix && !isCheckpoint(prefix) && isPickle(prefix))
      return await auditArtefact(await openPickle(source), against);
  } finally {
    await source?.close();
  }
  const model = await openModel(path);
  try {
    const { statements, ...audit } = await auditModel(model, against, source?.byteLength);
    const stored = model.kind === 'wpk' ? await containerStatements(path, against) : [];
    return { ...audit, statements: [...statements, ...stored] };
  } finally {
    await model.close();
  }
}

/** An audit of a file's header, and of its weights where there is a model to hold them against. */
async function withWeights(audit: Audit, path: string, against: Model | undefined): Promise<Audit> {
  if (!against) return audit;
  const model = await openModel(path);
  try {
    return { ...audit, statements: [...audit.statements, ...(await weightStatements(model, against))] };
  } finally {
    await model.close();
  }
}
