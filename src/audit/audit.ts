import type { Model } from '../core/model.js';
import {
  checkMatrices,
  checkParameters,
  configFrom,
  countParameters,
  type ParameterCount,
} from './architecture.js';
import type { Artifact } from './artifact.js';
import { checkClaim } from './bounds.js';
import { contentStatements, examine } from './content.js';
import { informationStatements } from './information.js';
import { artifactOf } from './models.js';
import type { Claim } from './rate.js';
import { columnSums, tableStatements } from './tables.js';
import { judge, type Statement, show } from './verdict.js';
import { weightStatements } from './weights.js';

/** The result of an audit. */
export interface Audit {
  /** The file, or `the claim`. */
  readonly subject: string;
  /** What was found, claim by claim. */
  readonly statements: readonly Statement[];
}

/** Audits a file of numbers that is not a model. @param against the model that it is claimed to be made from. */
export async function auditArtifact(artifact: Artifact, against?: Model): Promise<Audit> {
  const { metadata } = artifact;
  const count = countFrom(metadata) ?? (against?.config && countParameters(against.config));
  const content = examine(artifact);
  const statements = [
    ...contentStatements(artifact, content),
    ...tableStatements(artifact),
    ...(count ? architectureStatements(metadata, count) : []),
    ...checkClaim(claimFrom(artifact, count)),
  ];
  const formulas = new Set(content.forms.flatMap(({ list, form }) => (form.degree === 0 ? [] : [list])));
  if (against) statements.push(...(await informationStatements(artifact, against, formulas)));
  return { subject: artifact.file, statements };
}

/** Audits a model. @param against the model that it is claimed to be. @param fileBytes size of its file, if it is a single one. */
export async function auditModel(model: Model, against?: Model, fileBytes?: number): Promise<Audit> {
  const artifact = await artifactOf(model, fileBytes);
  const statements = contentStatements(artifact, examine(artifact));
  const count = model.config && countParameters(model.config);
  if (count) statements.push(checkMatrices(model.tensors, count));
  if (against) statements.push(...(await weightStatements(model, against)));
  return { subject: model.id, statements };
}

/** Counts the parameters of the architecture that metadata describes at any path. */
function countFrom(metadata: Artifact['metadata']): ParameterCount | undefined {
  const parents = new Set(
    [...metadata.keys()].map((path) => path.slice(0, Math.max(0, path.lastIndexOf('.')))),
  );
  for (const parent of parents) {
    const config = configFrom(metadata, parent);
    const count = config && countParameters(config);
    if (count) return count;
  }
  return undefined;
}

const TOTAL = /(^|\.)(num_|n_|total_|original_)?param(eter)?s(_count)?$/i;
const MATRICES = /(layers|matrices|tensors)_compressed$|^num_matrices$/i;

/** Compares totals in metadata with the architecture's. */
function architectureStatements(metadata: Artifact['metadata'], count: ParameterCount): Statement[] {
  const columns = columnSums(metadata);
  return [...metadata].flatMap(([path, value]) => {
    const name = path.slice(path.lastIndexOf('.') + 1);
    if (typeof value !== 'number' || columns.has(name)) return [];
    if (TOTAL.test(name) && !/compressed/i.test(name)) {
      const { claim, ...rest } = checkParameters(value, count);
      return [{ claim: `${path}: ${claim}`, ...rest }];
    }
    if (MATRICES.test(name))
      return [
        judge(
          value === count.matrices,
          `${path}: ${show(value)} matrices`,
          `the ${count.family} architecture has ${show(count.matrices)} two-dimensional tensors`,
        ),
      ];
    return [];
  });
}

/** Returns the claim that metadata makes about its file. */
function claimFrom({ metadata, fileBytes, numbers }: Artifact, count: ParameterCount | undefined): Claim {
  const columns = columnSums(metadata);
  const total = (pattern: RegExp) => {
    for (const [path, value] of metadata) {
      const name = path.slice(path.lastIndexOf('.') + 1);
      if (typeof value === 'number' && pattern.test(name) && !columns.has(name)) return value;
    }
    return undefined;
  };
  const ratio = [...metadata].find(
    ([path, value]) =>
      /ratio$/i.test(path) && typeof value === 'string' && !columns.has(path) && path.split('.').length <= 2,
  )?.[1];
  const parsed = Number(/^([\d.]+):1$/.exec(String(ratio ?? ''))?.[1]);
  return {
    parameters: total(/^original_param(eter)?s$/i) ?? total(/^param(eter)?s$/i) ?? count?.unique,
    values: total(/^compressed_param(eter)?s$|retained/i),
    bytes: metadata.size && numbers.length ? fileBytes : undefined,
    ...(parsed > 0 && { ratio: parsed }),
  };
}
