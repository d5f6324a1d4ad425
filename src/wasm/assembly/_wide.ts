// rANS with 32 states and frequencies of 14 bits, for long streams: vectors of four states, of which eight are independent, keep a
// wide processor busy. Symbol i belongs to state i % 32. docs/lossless.md, "Entropy coder".
import { ENCODER_ENTRY_BYTES, SYMBOL_SCALE_BITS, WIDE_STATES } from '../constants';

const LOWEST_STATE: u32 = 1 << 16;
const SCALE: u32 = 1 << SYMBOL_SCALE_BITS;

/** Bytes of the states, in memory and at the head of a stream. */
export const STATES_BYTES: usize = WIDE_STATES * 4;
export const states: usize = memory.data(WIDE_STATES * 4, 16);

/** Address of the next word to decode. */
export let input: usize = 0;

export function setInput(at: usize): void {
  input = at;
}

// By a mask of the four lanes that take or give a word: the shuffles that spread words over these lanes, and that gather the lanes'
// words at the end of eight bytes; and the number of bytes.
const spread: usize = memory.data(256, 16);
const gather: usize = memory.data(256, 16);
export const wordBytes: usize = memory.data(16, 16);

for (let mask: u32 = 0; mask < 16; mask++) {
  const bytes = <u32>popcnt(mask) * 2;
  store<u8>(wordBytes + mask, <u8>bytes);
  memory.fill(spread + mask * 16, 0x80, 16); // an index that gives zero
  memory.fill(gather + mask * 16, 0x80, 16);
  for (let lane: u32 = 0, word: u32 = 0; lane < 4; lane++)
    if ((mask >> lane) & 1) {
      for (let byte: u32 = 0; byte < 2; byte++) {
        store<u8>(spread + mask * 16 + lane * 4 + byte, <u8>(word + byte));
        store<u8>(gather + mask * 16 + 8 - bytes + word + byte, <u8>(lane * 4 + byte));
      }
      word += 2;
    }
}

// ---- encoding --------------------------------------------------------------------------------------------------------

/**
 * Fills `encoder`, one entry per symbol, from u32 `frequencies`: reciprocal f64, minimum state to renormalize u32, start u16,
 * 2^scaleBits - frequency u16. The reciprocal is a little above 1 / frequency, or 0 for a symbol that cannot be coded.
 */
export function buildWideEncoder(count: u32, frequencies: usize, encoder: usize, scaleBits: u32): void {
  let start: u32 = 0;
  for (let s: u32 = 0; s < count; s++) {
    const frequency = load<u32>(frequencies + (s << 2)), entry = encoder + s * ENCODER_ENTRY_BYTES;
    store<f64>(entry, frequency ? 1.0 / <f64>frequency * (1.0 + f64.EPSILON * 4.0) : 0.0);
    store<u32>(entry, frequency << (32 - scaleBits), 8);
    store<u16>(entry, <u16>start, 12);
    store<u16>(entry, <u16>((<u32>1 << scaleBits) - frequency), 14);
    start += frequency;
  }
}

const TWO_TO_52: f64 = 4503599627370496.0;

/** Returns floor(x * reciprocal) in the low half of each lane, for a quotient from 4 to 2^20 - 1. Lanes: 2^52 + x as f64. */
@inline
function quotients(lanes: v128, reciprocals: v128): v128 {
  const product = f64x2.mul(f64x2.sub(lanes, f64x2.splat(TWO_TO_52)), reciprocals);
  return f64x2.add(product, f64x2.splat(TWO_TO_52 - 0.5)); // rounds to the nearest integer, half below
}

/** Encodes `count` symbols from the last to the first, so that they decode in order. Writes downwards from `end`; returns the start of the stream. */
export function encodeWide(count: u32, end: usize, symbols: usize, encoder: usize, scaleBits: u32): usize {
  for (let lane: usize = 0; lane < STATES_BYTES; lane += 4) store<u32>(states + lane, LOWEST_STATE);
  let output = end, i = count;
  for (; i % WIDE_STATES; i--) output = encodeOne(output, states + (((i - 1) % WIDE_STATES) << 2), entryAt(encoder, load<u16>(symbols + ((i - 1) << 1))), scaleBits);
  const magic = i32x4.splat(0x43300000); // the upper half of 2^52 as f64
  const half = i32x4.splat(0xffff);
  let at: usize = STATES_BYTES;
  for (let from = symbols + (i << 1); from > symbols; from -= 8) {
    at = (at - 16) & (STATES_BYTES - 1);
    const four = load<u64>(from - 8);
    const a = v128.load(entryAt(encoder, <usize>(four & 0xffff))), b = v128.load(entryAt(encoder, <usize>((four >> 16) & 0xffff)));
    const c = v128.load(entryAt(encoder, <usize>((four >> 32) & 0xffff))), d = v128.load(entryAt(encoder, <usize>(four >> 48)));
    const ab = v128.shuffle<u32>(a, b, 2, 6, 3, 7), cd = v128.shuffle<u32>(c, d, 2, 6, 3, 7);
    const offsets = v128.shuffle<u64>(ab, cd, 1, 3);
    let state = v128.load(states + at);
    const full = i32x4.ge_u(state, v128.shuffle<u64>(ab, cd, 0, 2));
    const mask = <usize>i32x4.bitmask(full);
    store<u64>(output - 8, i64x2.extract_lane(i8x16.swizzle(state, v128.load(gather + (mask << 4))), 0));
    output -= <usize>load<u8>(wordBytes + mask);
    state = v128.bitselect(i32x4.shr_u(state, 16), state, full);
    const first = quotients(v128.shuffle<u32>(state, magic, 0, 4, 1, 5), v128.shuffle<u64>(a, b, 0, 2));
    const second = quotients(v128.shuffle<u32>(state, magic, 2, 6, 3, 7), v128.shuffle<u64>(c, d, 0, 2));
    const moved = i32x4.mul(v128.shuffle<u32>(first, second, 0, 2, 4, 6), i32x4.shr_u(offsets, 16));
    v128.store(states + at, i32x4.add(i32x4.add(state, v128.and(offsets, half)), moved));
  }
  memory.copy(output - STATES_BYTES, states, STATES_BYTES);
  return output - STATES_BYTES;
}

@inline
function entryAt(encoder: usize, symbol: usize): usize {
  return encoder + symbol * ENCODER_ENTRY_BYTES;
}

/** Encodes one of the symbols that do not fill a vector. Returns the new output. */
function encodeOne(output: usize, place: usize, entry: usize, scaleBits: u32): usize {
  let state = load<u32>(place);
  if (state >= load<u32>(entry, 8)) {
    output -= 2;
    store<u16>(output, <u16>state);
    state >>= 16;
  }
  const rest = <u32>load<u16>(entry, 14);
  store<u32>(place, state + load<u16>(entry, 12) + (state / ((<u32>1 << scaleBits) - rest)) * rest);
  return output;
}

// ---- decoding --------------------------------------------------------------------------------------------------------

/**
 * Fills `slots`, SCALE u64: frequency of the symbol that each slot belongs to, the slot's distance from that symbol's start, and
 * its value, 16 bits each. The values come from `values`, one u16 per ordinal.
 */
export function buildWideDecoder(count: u32, frequencies: usize, values: usize, slots: usize): void {
  for (let s: u32 = 0; s < count; s++) {
    const frequency = load<u32>(frequencies + (s << 2));
    let slot = <u64>frequency | ((<u64>load<u16>(values + (s << 1))) << 32);
    for (const end = slots + (frequency << 3); slots < end; slots += 8) {
      store<u64>(slots, slot);
      slot += 0x10000;
    }
  }
}

export function startWideDecoding(stream: usize): void {
  memory.copy(states, stream, STATES_BYTES);
  input = stream + STATES_BYTES;
}

/** Loads two slots; `numbers` has theirs in its halves. */
@inline
function twoSlots(slots: usize, numbers: i64): v128 {
  const first = v128.load64_zero(slots + (<usize>(<u32>numbers) << 3));
  return v128.load64_lane(slots + (<usize>(<u64>numbers >> 32) << 3), first, 1);
}

/** Returns states after their symbols, before renormalization. Places: the lower halves of their slots. */
@inline
function advance(state: v128, places: v128): v128 {
  const frequencies = v128.and(places, i32x4.splat(0xffff));
  return i32x4.add(i32x4.mul(frequencies, i32x4.shr_u(state, SYMBOL_SCALE_BITS)), i32x4.shr_u(places, 16));
}

/** Returns states renormalized: the lanes in `low` take the next words. */
@inline
export function refill(state: v128, low: v128, mask: usize, from: usize): v128 {
  const words = i8x16.swizzle(v128.load64_zero(from), v128.load(spread + (mask << 4)));
  return v128.or(v128.bitselect(i32x4.shl(state, 16), state, low), words);
}

/**
 * Decodes the next `count` values (a multiple of 32 except in the last call) to u16 `symbols`.
 * Returns false when the stream is found to be damaged; it then reads at most 2 * count + 8 bytes past the stream's end.
 */
export function decodeWide(count: u32, end: usize, symbols: usize, slots: usize): bool {
  const slotMask = i32x4.splat(SCALE - 1), none = i32x4.splat(0);
  let from = input, at: usize = 0, out = symbols;
  for (const stop = out + ((count & ~(WIDE_STATES - 1)) << 1); out < stop; out += 16) {
    let s = v128.load(states + at), t = v128.load(states + at, 16);
    const numbersS = v128.and(s, slotMask), numbersT = v128.and(t, slotMask);
    const a = twoSlots(slots, i64x2.extract_lane(numbersS, 0)), b = twoSlots(slots, i64x2.extract_lane(numbersS, 1));
    const c = twoSlots(slots, i64x2.extract_lane(numbersT, 0)), d = twoSlots(slots, i64x2.extract_lane(numbersT, 1));
    v128.store(out, i16x8.narrow_i32x4_u(v128.shuffle<u32>(a, b, 1, 3, 5, 7), v128.shuffle<u32>(c, d, 1, 3, 5, 7)));
    s = advance(s, v128.shuffle<u32>(a, b, 0, 2, 4, 6));
    t = advance(t, v128.shuffle<u32>(c, d, 0, 2, 4, 6));
    const lowS = i32x4.eq(i32x4.shr_u(s, 16), none), lowT = i32x4.eq(i32x4.shr_u(t, 16), none);
    const maskS = <usize>i32x4.bitmask(lowS), maskT = <usize>i32x4.bitmask(lowT);
    v128.store(states + at, refill(s, lowS, maskS, from));
    from += <usize>load<u8>(wordBytes + maskS);
    v128.store(states + at, refill(t, lowT, maskT, from), 16);
    from += <usize>load<u8>(wordBytes + maskT);
    at = (at + 32) & (STATES_BYTES - 1);
  }
  for (let place: usize = states; place < states + ((count % WIDE_STATES) << 2); place += 4, out += 2) {
    const state = load<u32>(place), slot = load<u64>(slots + ((state & (SCALE - 1)) << 3));
    store<u16>(out, <u16>(slot >> 32));
    const next = (<u32>slot & 0xffff) * (state >> SYMBOL_SCALE_BITS) + (<u32>slot >> 16);
    store<u32>(place, next < LOWEST_STATE ? (next << 16) | load<u16>(from) : next);
    if (next < LOWEST_STATE) from += 2;
  }
  input = from;
  return from <= end;
}

/** Returns true when the stream was read exactly up to `end` and every state is the encoder's initial one. */
export function wideEndedAt(end: usize): bool {
  if (input != end) return false;
  for (let lane: usize = 0; lane < STATES_BYTES; lane += 4) if (load<u32>(states + lane) != LOWEST_STATE) return false;
  return true;
}
