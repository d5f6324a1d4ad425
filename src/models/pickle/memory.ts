import { PickleObject, type PickleValue } from './values.js';

/** Returns an upper estimate of the bytes of a value, without its elements, as measured on Node 20. */
export function memoryOf(value: PickleValue): number {
  if (typeof value === 'number') return 48; // with its slots on the stack and in a list
  if (typeof value === 'string') return 48 + 2 * value.length;
  if (typeof value === 'bigint') return 64;
  if (value instanceof Map) return 224;
  if (value instanceof Set) return 192;
  if (value instanceof Uint8Array) return 128;
  if (Array.isArray(value)) return 64;
  return value instanceof PickleObject ? 96 : SLOT_BYTES;
}

/** Bytes of a slot on the stack or in a list. */
export const SLOT_BYTES = 16;
/** Bytes that an empty list allocates on the first append. */
export const FIRST_ELEMENTS_BYTES = 152;
/** Bytes of a memo entry. */
export const MEMO_BYTES = 64;
