import { isWpk } from '../container/frames.js';
import { openWpk } from '../container/original.js';
import { isGguf } from '../formats/gguf/header.js';
import type { Model } from '../formats/model.js';
import { openSource, PREFIX_BYTES } from '../formats/open.js';
import { isCheckpoint } from '../formats/pytorch/checkpoint.js';
import type { ByteSource } from '../io/source.js';
import '../openers.js';
import { summarise } from '../press/summary.js';
import type { Verification } from '../press/verify.js';
import { type Audit, auditArtefact, auditModel } from './audit.js';
import { containerStatements } from './container.js';
import { auditGguf } from './gguf.js';
import { isPickle, openPickle } from './pickles.js';
import { weightStatements } from './weights.js';

/**
 * Audits a file, wherever it lies and whatever it holds, told by its first bytes. The source is closed then.
 * @param verify decodes all of a .wpk. @param against the model that the file is said to come from.
 * @throws {InputError} when it cannot be read, or asks to run something.
 */
export async function auditSource(
  source: ByteSource,
  verify: () => Promise<Verification>,
  against?: Model,
): Promise<Audit> {
  try {
    const prefix = await source.read(0, Math.min(PREFIX_BYTES, source.byteLength));
    if (isGguf(prefix)) return await auditGgufFile(source, against);
    if (!isCheckpoint(prefix) && isPickle(prefix))
      return await auditArtefact(await openPickle(source), against);
    if (isWpk(prefix)) return await auditWpk(source, verify, against);
    return await auditModel(await openSource(source.name, source), against, source.byteLength);
  } finally {
    await source.close();
  }
}

async function auditWpk(
  source: ByteSource,
  verify: () => Promise<Verification>,
  against: Model | undefined,
): Promise<Audit> {
  const model = await openWpk(source);
  const { subject, statements } = await auditModel(model, against, source.byteLength);
  const stored = containerStatements(await verify(), summarise(model.container));
  return { subject, statements: [...statements, ...stored] };
}

/** By its header, and by its weights where there is a model to hold them against. */
async function auditGgufFile(source: ByteSource, against: Model | undefined): Promise<Audit> {
  const audit = await auditGguf(source);
  if (!against) return audit;
  const model = await openSource(source.name, source);
  return { ...audit, statements: [...audit.statements, ...(await weightStatements(model, against))] };
}
