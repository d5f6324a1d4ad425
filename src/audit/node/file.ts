import { InputError } from '../../core/errors.js';
import type { Model } from '../../core/model.js';
import { openFile } from '../../io/node/file.js';
import { findBaseOf, openModel } from '../../open/open.js';
import { verify } from '../../operations/verify.js';
import { type Audit, auditModel } from '../audit.js';
import { auditSource } from '../source.js';

/**
 * Audits a file of any format, or a folder. @param against the model that it is claimed to be made from. @param base that of a .wpk that has one, as in `open`.
 * @throws {InputError} when it cannot be read, or is a pickle that is not plain data.
 */
export async function auditFile(path: string, against?: Model, base?: string | Model): Promise<Audit> {
  const source = await openFile(path).catch((error) => {
    if (error instanceof InputError && /expected a regular file/.test(error.message)) return undefined;
    throw error;
  });
  if (source) return auditSource(source, () => verify(path, { against, base }), against, findBaseOf(base));
  const model = await openModel(path);
  try {
    return await auditModel(model, against);
  } finally {
    await model.close();
  }
}
