import { count } from '../core/count.js';

/** The verdict on one claim. */
export interface Statement {
  /** What is claimed, in a line. */
  readonly claim: string;
  /** What the arithmetic says of it. */
  readonly verdict: 'supported' | 'contradicted' | 'cannot be checked';
  /** The reason, with its arithmetic, in one line. */
  readonly because: string;
}

const ORDER = ['contradicted', 'supported', 'cannot be checked'] as const;

/** How many statements got each verdict. */
export type VerdictCounts = Readonly<Record<Statement['verdict'], number>>;

/** Counts the verdicts of statements. */
export function countVerdicts(statements: readonly Statement[]): VerdictCounts {
  const numberOf = (of: Statement['verdict']) => statements.filter(({ verdict }) => verdict === of).length;
  return {
    supported: numberOf('supported'),
    contradicted: numberOf('contradicted'),
    'cannot be checked': numberOf('cannot be checked'),
  };
}

/** Sorts statements: contradicted ones first, those that cannot be checked last. */
export function byVerdict(statements: readonly Statement[]): Statement[] {
  return [...statements].sort((a, b) => ORDER.indexOf(a.verdict) - ORDER.indexOf(b.verdict));
}

export const supported = (claim: string, because: string): Statement => ({
  claim,
  verdict: 'supported',
  because,
});
export const contradicted = (claim: string, because: string): Statement => ({
  claim,
  verdict: 'contradicted',
  because,
});
export const unknown = (claim: string, because: string): Statement => ({
  claim,
  verdict: 'cannot be checked',
  because,
});

/** Returns a supported or contradicted statement. */
export function judge(holds: boolean, claim: string, because: string): Statement {
  return holds ? supported(claim, because) : contradicted(claim, because);
}

/** Formats a number: `1,315,575,808`, `0.9491`, `1.2e-7`. */
export function show(value: number): string {
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return count(value);
  return Math.abs(value) >= 1e6 || (value !== 0 && Math.abs(value) < 1e-3)
    ? value.toExponential(3)
    : `${Number(value.toPrecision(5))}`;
}
