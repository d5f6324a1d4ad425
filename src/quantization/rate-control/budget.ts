import { InputError } from '../../core/errors.js';

/** Upper limit for a lossy file: a divergence, or a size. Exactly one member must be set. */
export interface Budget {
  /** Mean KL(original || compressed) in nats per token, measured on held-out calibration text. */
  readonly kl?: number;
  /** Bits per weight: the file without config, tokenizer and texts, over its number of weights (no masks, no integers, tied tensors once). */
  readonly bits?: number;
  /** Bytes of the whole file. */
  readonly size?: number;
  /** Original bytes over the bytes of the file. */
  readonly ratio?: number;
}

/** The search ends when size or divergence is at most this share below its limit; the limit is never exceeded. */
const SIZE_TOLERANCE = 0.005;
const KL_TOLERANCE = 0.02;

export interface Sizes {
  /** Bytes of all original files of the model. */
  readonly originalBytes: number;
  /** Stored bytes of config, tokenizer and texts, including frames. */
  readonly sideBytes: number;
  readonly parameters: number;
}

/** Goal of a search, in bytes or nats per token. */
export interface Goal {
  readonly kind: 'kl' | 'bytes';
  /** The smallest value at which the budget counts as used up. */
  readonly min: number;
  /** The largest allowed value. */
  readonly max: number;
  readonly originalBytes: number;
}

/** Checks that exactly one budget is set, to a positive number. @throws {InputError} otherwise. */
export function checkBudget(budget: Budget): void {
  const given = Object.entries(budget).filter(([, value]) => value !== undefined);
  if (given.length !== 1)
    throw new InputError(
      `expected one budget of kl, bits, size and ratio, found ${given.map(([name]) => name).join(' and ') || 'none'}`,
    );
  const [name, value] = given[0]!;
  if (!(Number.isFinite(value) && value > 0))
    throw new InputError(`expected a positive ${name}, found ${value}`);
}

/** Converts a budget to the quantity that is measured after each trial. */
export function goalOf(budget: Budget, { originalBytes, sideBytes, parameters }: Sizes): Goal {
  if (budget.kl !== undefined)
    return { kind: 'kl', min: budget.kl * (1 - KL_TOLERANCE), max: budget.kl, originalBytes };
  const max =
    budget.size ??
    (budget.ratio === undefined ? sideBytes + (budget.bits! * parameters) / 8 : originalBytes / budget.ratio);
  return {
    kind: 'bytes',
    min: Math.ceil(max * (1 - SIZE_TOLERANCE)),
    max: Math.floor(max),
    originalBytes,
  };
}

const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
};

/** Parses `400MB`, `1.5 GB`, `300KiB` or a plain number of bytes. @throws {InputError} for anything else. */
export function parseSize(text: string): number {
  const [, number, unit] = /^\s*([0-9]*\.?[0-9]+)\s*([a-z]*)\s*$/i.exec(text) ?? [];
  const factor = unit === undefined ? undefined : UNITS[unit.toLowerCase()];
  if (!number || !factor)
    throw new InputError(`expected a size such as 400MB, found ${JSON.stringify(text)}`);
  return Math.floor(Number(number) * factor);
}
