import { PickleObject, type PickleValue } from './values.js';

/** What a value is taken to occupy, in bytes, its elements apart: measured on Node 20, rounded up. */
export function memoryOf(value: PickleValue): number {
  if (typeof value === 'number') return 48; // its slots on the stack and in a list too
  if (typeof value === 'string') return 48 + 2 * value.length;
  if (typeof value === 'bigint') return 64;
  if (value instanceof Map) return 224;
  if (value instanceof Set) return 192;
  if (value instanceof Uint8Array) return 128;
  if (Array.isArray(value)) return 64;
  return value instanceof PickleObject ? 96 : SLOT_BYTES;
}

/** A place on the stack or in a list. */
export const SLOT_BYTES = 16;
/** What an empty list makes room for when it is first appended to. */
export const FIRST_ELEMENTS_BYTES = 152;
/** An entry of the memo. */
export const MEMO_BYTES = 64;
