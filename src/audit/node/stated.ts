import { elementCount } from '../../core/dtype.js';
import type { Model } from '../../core/model.js';
import { sumOf } from '../../core/sum.js';
import { analyze } from '../../operations/analyze.js';
import { checkParameters, countParameters } from '../architecture.js';
import type { Audit } from '../audit.js';
import { checkClaim, type Known } from '../bounds.js';
import type { Claim } from '../rate.js';
import { varianceParts } from '../variances.js';
import type { Statement } from '../verdict.js';

/** Audits a claim. @param model that it is about, which is measured. @param config of the model, if only that is available. */
export async function auditClaim(claim: Claim, model?: Model, config = model?.config): Promise<Audit> {
  const count = config && countParameters(config);
  const statements: Statement[] = [];
  if (count && claim.parameters !== undefined) statements.push(checkParameters(claim.parameters, count));
  const known = model ? await measure(model, claim.lossless ?? false) : {};
  const originalBits = claim.originalBits ?? (model && storedBits(model));
  statements.push(
    ...checkClaim({ ...claim, parameters: claim.parameters ?? count?.unique, originalBits }, known),
  );
  return { subject: 'the claim', statements };
}

/** Measures the variances of a model's weights and, if needed, their lossless rate. */
async function measure(model: Model, lossless: boolean): Promise<Known> {
  const parts = await varianceParts(model);
  if (!lossless) return { parts };
  const { losslessBytes, parameters } = await analyze(model);
  return { parts, losslessBits: (8 * losslessBytes!) / parameters.unique };
}

/** Returns the bits per weight of the stored model. */
function storedBits({ tensors }: Model): number {
  const weights = sumOf(tensors, ({ shape }) => elementCount(shape));
  return (8 * sumOf(tensors, ({ lengthBytes }) => lengthBytes)) / weights;
}
