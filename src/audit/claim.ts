import { parse } from 'yaml';
import { InputError } from '../core/errors.js';
import { parseSize } from '../quantization/rate-control/budget.js';
import type { Claim } from './rate.js';

/** A claim from a file or from flags. */
export interface WrittenClaim extends Claim {
  /** The model that the claim is about: a folder, file or id. */
  readonly model?: string | undefined;
}

const MAX_BYTES = 2 ** 20;

/** Parsers by key. Unknown keys are refused, so that a misspelled one is noticed. */
const KEYS: Readonly<Record<string, (value: unknown) => WrittenClaim>> = {
  parameters: (value) => ({ parameters: count(value) }),
  bytes: (value) => ({ bytes: sizeOf(value) }),
  values: (value) => ({ values: count(value) }),
  value_bits: (value) => ({ valueBits: positive(value) }),
  ratio: (value) => ({ ratio: positive(typeof value === 'string' ? value.replace(/:1$/, '') : value) }),
  original: (value) => originalOf(value),
  lossless: (value) => ({ lossless: flag(value) }),
  relative_error: (value) => ({ relativeError: notNegative(value) }),
  kl: (value) => ({ kl: notNegative(value) }),
  bits: (value) => ({ bitsPerWeight: positive(value) }),
  model: (value) => ({ model: String(value) }),
};

/** Parses a claim in YAML. @throws {InputError} naming the key that is unknown or has an invalid value. */
export function parseClaim(text: string, file: string): WrittenClaim {
  if (text.length > MAX_BYTES)
    throw new InputError(`${text.length} characters, over the limit of ${MAX_BYTES}`, { file });
  let value: unknown;
  try {
    value = parse(text, { maxAliasCount: 10 });
  } catch (error) {
    const [line = ''] = String((error as Error).message).split('\n');
    throw new InputError(`not YAML: ${line}`, { file }, { cause: error });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new InputError('expected keys such as parameters, bytes and ratio', { file });
  return claimOf(value as Record<string, unknown>, file);
}

/** Returns the claim with the given keys and values. @throws {InputError} for an unknown key or invalid value. */
export function claimOf(entries: Readonly<Record<string, unknown>>, file: string): WrittenClaim {
  let claim: WrittenClaim = {};
  for (const [name, value] of Object.entries(entries)) {
    const read = Object.hasOwn(KEYS, name) ? KEYS[name] : undefined;
    if (!read)
      throw new InputError(`unknown key ${JSON.stringify(name)}, expected ${Object.keys(KEYS).join(', ')}`, {
        file,
      });
    try {
      claim = { ...claim, ...read(value) };
    } catch (error) {
      throw new InputError(`${name}: ${(error as Error).message}`, { file }, { cause: error });
    }
  }
  if (claim.bitsPerWeight !== undefined && claim.bytes !== undefined)
    throw new InputError('expected either bits or bytes, found both', { file });
  return claim;
}

function notNegative(value: unknown): number {
  return value === 0 || value === '0' ? 0 : positive(value);
}

const SCALES: Readonly<Record<string, number>> = { k: 1e3, m: 1e6, b: 1e9, t: 1e12 };

/** Parses a count such as `1315575808`, `1,315,575,808` or `1.3B`. */
function count(value: unknown): number {
  const scaled = typeof value === 'string' ? /^([\d.]+)\s*([kmbt])$/i.exec(value) : null;
  if (!scaled) return positive(value);
  return Number((positive(scaled[1]) * SCALES[scaled[2]!.toLowerCase()]!).toPrecision(12));
}

function positive(value: unknown): number {
  const number = typeof value === 'string' ? Number(value.replaceAll(/[,_]/g, '')) : value;
  if (typeof number === 'number' && Number.isFinite(number) && number > 0) return number;
  throw new RangeError(`expected a positive number, found ${JSON.stringify(value)}`);
}

function sizeOf(value: unknown): number {
  return typeof value === 'string' ? parseSize(value) : positive(value);
}

function flag(value: unknown): boolean {
  if (typeof value === 'boolean') return value;
  throw new RangeError(`expected true or false, found ${JSON.stringify(value)}`);
}

const ORIGINALS: Readonly<Record<string, { readonly original: string; readonly originalBits: number }>> = {
  f32: { original: 'f32', originalBits: 32 },
  f16: { original: 'f16', originalBits: 16 },
  bf16: { original: 'bf16', originalBits: 16 },
};

/** Parses a type such as `f16`, `fp16` or `float16`, in upper or lower case. */
function originalOf(value: unknown): Claim {
  const name = `${value}`.toLowerCase().replace(/^(b?)(fp|float)/, '$1f');
  const original = Object.hasOwn(ORIGINALS, name) ? ORIGINALS[name] : undefined;
  if (original) return original;
  throw new RangeError(`expected f32, f16 or bf16, found ${JSON.stringify(value)}`);
}
