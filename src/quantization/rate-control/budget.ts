import { InputError } from '../../core/errors.js';

/** What the user allows: a divergence in nats, or a size. Exactly one member is given. */
export interface Budget {
  /** Mean KL(original || compressed) in nats per token, measured on held-out calibration text. */
  readonly kl?: number;
  /** Bits per weight: the file without config, tokenizer and texts, over the weights in it: no masks, no integers, tied tensors once. */
  readonly bits?: number;
  /** Bytes of the whole file. */
  readonly size?: number;
  /** Original bytes over the file's. */
  readonly ratio?: number;
}

/** A size is hit within this share, a divergence likewise; neither is exceeded. */
const SIZE_TOLERANCE = 0.005;
const KL_TOLERANCE = 0.02;

export interface Sizes {
  /** All files of the model as given. */
  readonly originalBytes: number;
  /** Config, tokenizer and texts as they are stored, frames included. */
  readonly sideBytes: number;
  readonly parameters: number;
}

/** What a search must reach. */
export interface Goal {
  readonly kind: 'kl' | 'bytes';
  /** The smallest value that uses the budget up. */
  readonly min: number;
  /** The largest that is allowed. */
  readonly max: number;
  readonly originalBytes: number;
}

/** @throws {InputError} unless exactly one budget is given, and it is a positive number. */
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

/** A budget as what is measured after each try. */
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

/** `400MB`, `1.5 GB`, `300KiB` or a plain number of bytes. @throws {InputError} for anything else. */
export function parseSize(text: string): number {
  const [, number, unit] = /^\s*([0-9]*\.?[0-9]+)\s*([a-z]*)\s*$/i.exec(text) ?? [];
  const factor = unit === undefined ? undefined : UNITS[unit.toLowerCase()];
  if (!number || !factor)
    throw new InputError(`expected a size such as 400MB, found ${JSON.stringify(text)}`);
  return Math.floor(Number(number) * factor);
}
