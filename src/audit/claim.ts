import { parse } from 'yaml';
import { InputError } from '../errors.js';
import { parseSize } from '../press/lossy/budget.js';
import type { Claim } from './bounds.js';

/** A claim as people write it, from a file or from flags. */
export interface WrittenClaim extends Claim {
  /** A model's folder, file or id, whose numbers the claim is about. */
  readonly model?: string | undefined;
}

/** With bits a weight, which stand for bytes. */
type Written = WrittenClaim & { readonly bits?: number };

const MOST_BYTES = 2 ** 20;

/** What each member means; others are refused, so that none is left out by a slip. */
const MEMBERS: Readonly<Record<string, (value: unknown) => Written>> = {
  parameters: (value) => ({ parameters: positive(value) }),
  bytes: (value) => ({ bytes: sizeOf(value) }),
  values: (value) => ({ values: positive(value) }),
  value_bits: (value) => ({ valueBits: positive(value) }),
  ratio: (value) => ({ ratio: positive(typeof value === 'string' ? value.replace(/:1$/, '') : value) }),
  original: (value) => ({ originalBits: bitsOf(value) }),
  lossless: (value) => ({ lossless: flag(value) }),
  relative_error: (value) => ({ relativeError: positive(value) }),
  kl: (value) => ({ kl: positive(value) }),
  bits: (value) => ({ bits: positive(value) }),
  model: (value) => ({ model: String(value) }),
};

/** Reads a claim in YAML. @throws {InputError} naming the member that is not understood. */
export function parseClaim(text: string, file: string): WrittenClaim {
  if (text.length > MOST_BYTES) throw new InputError(`a claim of ${text.length} characters`, { file });
  let value: unknown;
  try {
    value = parse(text, { maxAliasCount: 10 });
  } catch (error) {
    const [line = ''] = String((error as Error).message).split('\n');
    throw new InputError(`is not YAML: ${line}`, { file }, { cause: error });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new InputError(`expected members such as parameters, bytes and ratio`, { file });
  return claimOf(value as Record<string, unknown>, file);
}

/** A claim from members as a file or flags give them. @throws {InputError} */
export function claimOf(members: Readonly<Record<string, unknown>>, file: string): WrittenClaim {
  let claim: Written = {};
  for (const [name, value] of Object.entries(members)) {
    const read = Object.hasOwn(MEMBERS, name) ? MEMBERS[name] : undefined;
    if (!read)
      throw new InputError(
        `${JSON.stringify(name)} is not understood; expected ${Object.keys(MEMBERS).join(', ')}`,
        { file },
      );
    try {
      claim = { ...claim, ...read(value) };
    } catch (error) {
      throw new InputError(`${name}: ${(error as Error).message}`, { file }, { cause: error });
    }
  }
  const { bits, ...rest } = claim;
  if (bits === undefined) return rest;
  if (rest.bytes !== undefined) throw new InputError('bits and bytes say the same; one is enough', { file });
  // bits a weight need no count: of a million weights
  const parameters = rest.parameters ?? 1e6;
  return { ...rest, parameters, bytes: (bits * parameters) / 8 };
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

const BITS: Readonly<Record<string, number>> = {
  f32: 32,
  fp32: 32,
  float32: 32,
  f16: 16,
  fp16: 16,
  float16: 16,
  bf16: 16,
  bfloat16: 16,
};

function bitsOf(value: unknown): number {
  const bits = BITS[String(value).toLowerCase()];
  if (bits) return bits;
  throw new RangeError(`expected f32, f16 or bf16, found ${JSON.stringify(value)}`);
}
