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
  /** What a file may grow by after the search, when its measured quality is stored in it. */
  readonly reportBytes: number;
}

/** What a search must reach. */
export interface Goal extends Pick<Sizes, 'originalBytes' | 'reportBytes'> {
  readonly kind: 'kl' | 'bytes';
  /** The smallest value of a try that uses the budget up. */
  readonly min: number;
  /** The largest that a try may have: with a report, the file may still not be beyond the limit. */
  readonly max: number;
  /** What is allowed: nats, or bytes of the finished file. */
  readonly limit: number;
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
export function goalOf(budget: Budget, { originalBytes, sideBytes, parameters, reportBytes }: Sizes): Goal {
  const { kl, bits, size, ratio } = budget;
  if (kl !== undefined)
    return { kind: 'kl', min: kl * (1 - KL_TOLERANCE), max: kl, limit: kl, originalBytes, reportBytes };
  const bytes = size ?? (ratio === undefined ? sideBytes + (bits! * parameters) / 8 : originalBytes / ratio);
  const max = Math.max(1, Math.floor(bytes) - reportBytes);
  // a report may take little of what is reserved for it; but half of the tolerance must be left to search in
  const min = Math.ceil(Math.min(bytes * (1 - SIZE_TOLERANCE), max - (bytes * SIZE_TOLERANCE) / 2));
  return { kind: 'bytes', min, max, limit: Math.floor(bytes), originalBytes, reportBytes };
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
