import { InputError } from '../../core/errors.js';

/** Upper limit for a lossy file: a divergence, or a size. Exactly one member must be set. */
export interface Budget {
  /** Mean KL(original || compressed) in nats per token, measured on held-out calibration text. */
  readonly kl?: number;
  /** For embedding models: mean cosine between embeddings of the original and the compressed model, measured on held-out sentences. */
  readonly cosine?: number;
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
/** For a model that is nearly destroyed: the divergence is no longer a smooth function of the step. */
const LARGE_KL = 1;
const LARGE_KL_TOLERANCE = 0.05;

export interface Sizes {
  /** Bytes of all original files of the model. */
  readonly originalBytes: number;
  /** Stored bytes of config, tokenizer and texts, including frames. */
  readonly sideBytes: number;
  readonly parameters: number;
  /** Bytes reserved for the quality report, which is stored after the search. */
  readonly reportBytes: number;
}

/** Goal of a search: in bytes, in nats per token, or in what the mean cosine lacks to 1. */
export interface Goal extends Pick<Sizes, 'originalBytes' | 'reportBytes'> {
  readonly kind: 'kl' | 'cosine' | 'bytes';
  /** Minimum value at which the budget counts as used up. */
  readonly min: number;
  /** Maximum value of a trial: the limit, less the bytes reserved for the report. */
  readonly max: number;
  /** The budget: nats per token, 1 less the cosine, or bytes of the finished file. */
  readonly limit: number;
}

/** Checks that exactly one budget is set, to a positive number. @throws {InputError} otherwise. */
export function checkBudget(budget: Budget): void {
  const given = Object.entries(budget).filter(([, value]) => value !== undefined);
  if (given.length !== 1)
    throw new InputError(
      `expected one budget of kl, cosine, bits, size and ratio, found ${given.map(([name]) => name).join(' and ') || 'none'}`,
    );
  const [name, value] = given[0]!;
  if (!(Number.isFinite(value) && value > 0))
    throw new InputError(`expected a positive ${name}, found ${value}`);
  if (name === 'cosine' && !(value < 1))
    throw new InputError(`expected a cosine below 1, which only a lossless file has, found ${value}`);
}

/** Converts a budget to the quantity that is measured after each trial. */
export function goalOf(budget: Budget, { originalBytes, sideBytes, parameters, reportBytes }: Sizes): Goal {
  const { kl, cosine, bits, size, ratio } = budget;
  if (kl !== undefined || cosine !== undefined) {
    const limit = kl ?? 1 - cosine!;
    const tolerance = limit < LARGE_KL ? KL_TOLERANCE : LARGE_KL_TOLERANCE;
    const kind = kl === undefined ? 'cosine' : 'kl';
    return { kind, min: limit * (1 - tolerance), max: limit, limit, originalBytes, reportBytes };
  }
  const bytes = size ?? (ratio === undefined ? sideBytes + (bits! * parameters) / 8 : originalBytes / ratio);
  const max = Math.max(1, Math.floor(bytes) - reportBytes);
  // the report may need less than its reserve, but at least half of the tolerance is left to the search
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

/** Parses `400MB`, `1.5 GB`, `300KiB` or a plain number of bytes. @throws {InputError} for anything else. */
export function parseSize(text: string): number {
  const [, number, unit] = /^\s*([0-9]*\.?[0-9]+)\s*([a-z]*)\s*$/i.exec(text) ?? [];
  const factor = unit === undefined ? undefined : UNITS[unit.toLowerCase()];
  if (!number || !factor)
    throw new InputError(`expected a size such as 400MB, found ${JSON.stringify(text)}`);
  return Math.floor(Number(number) * factor);
}
