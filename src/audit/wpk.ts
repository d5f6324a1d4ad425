import { sumOf } from '../core/sum.js';
import type { Summary } from '../wpk/summary.js';
import type { Verification } from '../wpk/verification.js';
import { checkClaim } from './bounds.js';
import type { Claim } from './rate.js';
import { judge, type Statement, show } from './verdict.js';

/** Checks what a .wpk states about itself: its digests, size and measured quality. */
export function containerStatements(
  { good, problems, blocks, tensors, bitExact, error }: Verification,
  summary: Summary,
): Statement[] {
  const statements = [
    judge(
      good,
      'the file is intact',
      good
        ? `all checksums and digests match: ${show(tensors)} tensors in ${show(blocks)} blocks`
        : problems[0]!,
    ),
  ];
  if (bitExact)
    statements.push(judge(true, 'lossless', 'every element is bit-identical to that of the other model'));
  const {
    base,
    quality,
    weightError,
    fileBytesWithoutSideFiles: bytes,
    fileBytes,
    originalBytes,
    tensorBytes,
    rows,
  } = summary;
  const parameters = sumOf(rows, (row) => row.elements);
  statements.push(
    judge(
      true,
      `a ratio of ${show(originalBytes / fileBytes)}:1`,
      `${show(originalBytes)} / ${show(fileBytes)} bytes, all files counted${base ? ` but its base, ${JSON.stringify(base.name)}, which it needs` : ''}`,
    ),
  );
  const kl = (quality as { readonly kl?: { readonly mean?: number } } | undefined)?.kl?.mean;
  const stated = (weightError as { readonly relativeSquaredError?: number } | undefined)
    ?.relativeSquaredError;
  if (error && stated !== undefined)
    statements.push(
      judge(
        Math.abs(error.relativeSquaredError - stated) <= 1e-6 * stated,
        `a relative squared error of ${show(stated)}, as the file states`,
        `measured against the other model: ${show(error.relativeSquaredError)}`,
      ),
    );
  // what a model of so many bytes can be says nothing of one that is partly elsewhere
  const claim: Claim = {
    parameters,
    bytes,
    originalBits: (8 * tensorBytes) / parameters,
    kl,
  };
  if (kl !== undefined && !base) statements.push(...checkClaim(claim));
  return statements;
}
