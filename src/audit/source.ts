import type { ByteSource } from '../core/byte-source.js';
import type { Model } from '../core/model.js';
import { isGguf } from '../models/gguf/header.js';
import { isCheckpoint } from '../models/pytorch/checkpoint.js';
import { openSource, PREFIX_BYTES } from '../open/formats.js';
import type { FindBase } from '../wpk/base.js';
import { isWpk } from '../wpk/frames.js';
import { openWpk } from '../wpk/original.js';
import { summarize } from '../wpk/summary.js';
import type { Verification } from '../wpk/verification.js';
import { type Audit, auditArtifact, auditModel } from './audit.js';
import { auditGguf } from './gguf.js';
import { isPickle, openPickle } from './pickles.js';
import { weightStatements } from './weights.js';
import { containerStatements } from './wpk.js';

/**
 * Audits a file of any format, identified by its first bytes, and closes the source.
 * @param verify decodes and checks a .wpk. @param against the model that the file is claimed to be made from. @param findBase opens the base of a .wpk that has one.
 * @throws {InputError} when it cannot be read, or is a pickle that is not plain data.
 */
export async function auditSource(
  source: ByteSource,
  verify: () => Promise<Verification>,
  against?: Model,
  findBase?: FindBase,
): Promise<Audit> {
  try {
    const prefix = await source.read(0, Math.min(PREFIX_BYTES, source.byteLength));
    if (isGguf(prefix)) return await auditGgufFile(source, against);
    if (!isCheckpoint(prefix) && isPickle(prefix))
      return await auditArtifact(await openPickle(source), against);
    if (isWpk(prefix)) return await auditWpk(source, verify, against, findBase);
    return await auditModel(await openSource(source.name, source), against, source.byteLength);
  } finally {
    await source.close();
  }
}

async function auditWpk(
  source: ByteSource,
  verify: () => Promise<Verification>,
  against: Model | undefined,
  findBase: FindBase | undefined,
): Promise<Audit> {
  const model = await openWpk(source, undefined, findBase);
  try {
    const { subject, statements } = await auditModel(model, against, source.byteLength);
    const stored = containerStatements(await verify(), summarize(model.container));
    return { subject, statements: [...statements, ...stored] };
  } finally {
    await model.close(); // and its base
  }
}

/** Audits the header, and the weights if there is a model to compare with. */
async function auditGgufFile(source: ByteSource, against: Model | undefined): Promise<Audit> {
  const audit = await auditGguf(source);
  if (!against) return audit;
  const model = await openSource(source.name, source);
  return { ...audit, statements: [...audit.statements, ...(await weightStatements(model, against))] };
}
