// The inner loops of the lossless codec. docs/lossless.md has the mathematics, spec/wpk-v1.md the layouts. Pointers are byte
// offsets into the module's memory; src/wasm/lossless.ts lays out the buffers, with padding for whole SIMD vectors after each.
import { DECODER_ENTRY_BYTES, SYMBOL_SCALE_BITS } from '../constants';
import {
  entryAt, finishEncoding, input, put, refill, saveStates, setOutput, setState, startEncoding, stateA, stateB, stateC, stateD, stateOf,
  writeEntry,
  endedAt as narrowEndedAt, startDecoding as startNarrow,
} from './_rans';
import { buildWideDecoder, buildWideEncoder, decodeWide, encodeWide, startWideDecoding, wideEndedAt } from './_wide';

export * from '../constants';
export { heapBase } from './_memory';
export {
  base, baseClasses, baseDecoders, baseDifferences, baseEscapesEnd, baseLowBitsEnd, baseLows, basePlaces, baseTables, buildBaseDecoder,
  buildBaseEncoder, countBaseClasses, countBaseDifferences, countBaseZeros, decodeFromBase, encodeFromBase, fromBaseEndedAt, setBaseBits,
  splitFromBase, startFromBase, subtractBase, sumBaseDifferences,
} from './_base';
export {
  buckets, classes, countContexts, counts, cursors, gatherBytes, lanes, levels, mergeContexts, places, queues, reciprocals, scatterBytes, setRecords,
  setWalk, splitContexts, updates,
} from './_contexts';
export { addDifferences, takeDifferences } from './_differences';
export { shiftSymbols } from './_shifts';

// Buffers, set once by loader.ts: little-endian elements, u16 symbols, packed bits of heads and of tails, u32 counts;
// then the rANS tables.
export let elements: usize = 0, symbols: usize = 0, heads: usize = 0, tails: usize = 0, bins: usize = 0;
export let frequencies: usize = 0, values: usize = 0, encoder: usize = 0, slots: usize = 0, entries: usize = 0, wideSlots: usize = 0;

// ---- rANS with frequencies of 14 bits --------------------------------------------------------------------------------

const SCALE: u32 = 1 << SYMBOL_SCALE_BITS;

/** Whether the stream has 32 states: those of the call that built the table. */
let wide: bool = false;

/** Fills `encoder`, one entry per symbol, from u32 `frequencies`, for a stream of four or of 32 states. */
export function buildEncoder(count: u32, isWide: bool): void {
  wide = isWide;
  if (wide) return buildWideEncoder(count, frequencies, encoder, SYMBOL_SCALE_BITS);
  let start: u32 = 0;
  for (let s: u32 = 0; s < count; s++) {
    const frequency = load<u32>(frequencies + (s << 2));
    writeEntry(entryAt(encoder, s), frequency, start, SYMBOL_SCALE_BITS);
    start += frequency;
  }
}

@inline
function putSymbol(state: u32, table: usize, symbol: usize): u32 {
  return put(state, entryAt(table, symbol), SYMBOL_SCALE_BITS);
}

/** Encodes `count` symbols from the last to the first, so that they decode in order. Writes downwards from `end`; returns the start of the stream. */
export function encode(count: u32, end: usize): usize {
  if (wide) return encodeWide(count, end, symbols, encoder, SYMBOL_SCALE_BITS);
  const table = encoder, from = symbols;
  startEncoding();
  setOutput(end);
  let a = stateA, b = stateB, c = stateC, d = stateD;
  let i = count & ~3;
  const rest = from + (i << 1);
  if (count > i + 2) c = putSymbol(c, table, load<u16>(rest, 4));
  if (count > i + 1) b = putSymbol(b, table, load<u16>(rest, 2));
  if (count > i) a = putSymbol(a, table, load<u16>(rest));
  for (; i > 0; i -= 4) {
    const four = load<u64>(from + ((i - 4) << 1));
    d = putSymbol(d, table, <usize>(four >> 48));
    c = putSymbol(c, table, <usize>((four >> 32) & 0xffff));
    b = putSymbol(b, table, <usize>((four >> 16) & 0xffff));
    a = putSymbol(a, table, <usize>(four & 0xffff));
  }
  saveStates(a, b, c, d);
  return finishEncoding();
}

/**
 * Fills the tables for a stream of four or of 32 states: `wideSlots`; or `slots`, SCALE u16: the ordinal of the symbol that each slot belongs to; and `entries`, one u64 per ordinal: frequency,
 * start and value, 16 bits each. The values come from `values`, one u16 per ordinal.
 */
export function buildDecoder(count: u32, isWide: bool): void {
  wide = isWide;
  if (wide) return buildWideDecoder(count, frequencies, values, wideSlots);
  let start: u32 = 0;
  for (let s: u32 = 0; s < count; s++) {
    const frequency = load<u32>(frequencies + (s << 2));
    const value = load<u16>(values + (s << 1));
    store<u64>(entries + s * DECODER_ENTRY_BYTES, <u64>frequency | ((<u64>start) << 16) | ((<u64>value) << 32));
    for (let i: u32 = 0; i < frequency; i++) store<u16>(slots + ((start + i) << 1), <u16>s);
    start += frequency;
  }
}

/** Starts the stream that the tables were built for. */
export function startDecoding(stream: usize): void {
  if (wide) startWideDecoding(stream);
  else startNarrow(stream);
}

@inline
function entryOf(owners: usize, table: usize, state: u32): u64 {
  return load<u64>(table + <usize>load<u16>(owners + ((state & (SCALE - 1)) << 1)) * DECODER_ENTRY_BYTES);
}

@inline
function next(state: u32, entry: u64): u32 {
  return refill((<u32>entry & 0xffff) * (state >> SYMBOL_SCALE_BITS) + (state & (SCALE - 1)) - (<u32>entry >> 16));
}

/**
 * Decodes the next `count` values (a multiple of 32 except in the last call) to u16 `symbols`.
 * Returns false when the stream is found to be damaged; it then reads at most 2 * count + 8 bytes past the stream's end.
 */
export function decode(count: u32, end: usize): bool {
  if (wide) return decodeWide(count, end, symbols, wideSlots);
  const owners = slots, table = entries;
  let a = stateA, b = stateB, c = stateC, d = stateD, out = symbols;
  for (const stop = out + ((count & ~3) << 1); out < stop; out += 8) {
    const entryA = entryOf(owners, table, a), entryB = entryOf(owners, table, b);
    const entryC = entryOf(owners, table, c), entryD = entryOf(owners, table, d);
    store<u64>(out, (entryA >> 32) | ((entryB >> 32) << 16) | ((entryC >> 32) << 32) | ((entryD >> 32) << 48));
    a = next(a, entryA);
    b = next(b, entryB);
    c = next(c, entryC);
    d = next(d, entryD);
  }
  saveStates(a, b, c, d);
  for (let lane: u32 = 0; lane < (count & 3); lane++) {
    const state = stateOf(lane), entry = entryOf(owners, table, state);
    store<u16>(out + (lane << 1), <u16>(entry >> 32));
    setState(lane, next(state, entry));
  }
  return input <= end;
}

/** Returns true when the stream was read exactly up to `end` and every state is the encoder's initial one. */
export function endedAt(end: usize): bool {
  return wide ? wideEndedAt(end) : narrowEndedAt(end);
}

// ---- floats: a head of 16 bits (sign, exponent, top of the mantissa) and a tail --------------------------------------

/** Returns the upper halves of eight elements of 4 bytes in two vectors. */
@inline
function upperHalves(first: v128, second: v128): v128 {
  return v128.shuffle<u8>(first, second, 2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31);
}

/** Offset in `bins` of a second table of counts: neighbors that are equal must not wait for each other. */
const SECOND: usize = 65536 * 4;

/** Counts the heads of `count` elements, without their last `shift` bits, into `bins`; returns the OR of all elements. Width: 2, 4 or 8 bytes. */
export function countHeads(count: u32, width: u32, shift: u32): u64 {
  const table = bins, size: usize = (65536 * 4) >> shift;
  memory.fill(table, 0, size);
  let seen: u64 = 0, i: u32 = 0;
  if (width < 8 && count >= 8) {
    memory.fill(table + SECOND, 0, size);
    let any = i8x16.splat(0);
    for (; i + 8 <= count; i += 8) {
      let head: v128;
      if (width == 2) {
        head = v128.load(elements + (i << 1));
        any = v128.or(any, head);
      } else {
        const first = v128.load(elements + (i << 2)), second = v128.load(elements + (i << 2), 16);
        head = upperHalves(first, second);
        any = v128.or(any, v128.or(first, second));
      }
      head = i16x8.shr_u(head, shift);
      bumpFour(table, i64x2.extract_lane(head, 0));
      bumpFour(table, i64x2.extract_lane(head, 1));
    }
    seen = <u64>i64x2.extract_lane(any, 0) | <u64>i64x2.extract_lane(any, 1);
    seen |= seen >> 32;
    if (width == 2) seen |= seen >> 16;
    seen &= lowMask(8 * width);
    for (let at = table; at < table + size; at += 16) v128.store(at, i32x4.add(v128.load(at), v128.load(at, SECOND)));
  }
  for (; i < count; i++) {
    const x = elementAt(i, width);
    seen |= x;
    bump(table, <u32>(x >> ((width << 3) - 16 + shift)));
  }
  return seen;
}

/** Counts four bins of 16 bits each, alternating between the tables. */
@inline
function bumpFour(table: usize, four: u64): void {
  const low = <u32>four, high = <u32>(four >> 32);
  bump(table, low & 0xffff);
  bump(table + SECOND, low >> 16);
  bump(table, high & 0xffff);
  bump(table + SECOND, high >> 16);
}

@inline
function elementAt(i: u32, width: u32): u64 {
  return width == 2 ? load<u16>(elements + (i << 1)) : width == 4 ? load<u32>(elements + (i << 2)) : load<u64>(elements + (i << 3));
}

/** Counts bytes `plane` of `count` elements of `width` bytes into 256 `bins`, and writes them as `symbols`. */
export function splitPlane(count: u32, width: u32, plane: u32): void {
  const counts = bins, from = elements + plane, to = symbols;
  memory.fill(counts, 0, 256 * 4);
  for (let i: u32 = 0; i < count; i++) {
    const x = load<u8>(from + i * width);
    store<u16>(to + (i << 1), x);
    bump(counts, x);
  }
}

/** Inverts splitPlane: writes `count` symbols to byte `plane` of the elements from `first` on. */
export function mergePlane(first: u32, count: u32, width: u32, plane: u32): void {
  const from = symbols, to = elements + first * width + plane;
  for (let i: u32 = 0; i < count; i++) store<u8>(to + i * width, load<u8>(from + (i << 1)));
}

@inline
function bump(bins: usize, bin: u32): void {
  const at = bins + (bin << 2);
  store<u32>(at, load<u32>(at) + 1);
}

@inline
function lowMask(bits: u32): u64 {
  return ((<u64>1) << bits) - 1;
}

/** Writes the low `bits` (at most 48) of `value` at bit `at` of zeroed memory. */
@inline
function pack(base: usize, at: u32, value: u64): void {
  const address = base + (at >> 3);
  store<u64>(address, load<u64>(address) | (value << (at & 7)));
}

/**
 * Splits elements into symbols and two packed planes. A head is sign | symbol bits | `low` bits. The last `zeros` of
 * the low bits are zero in every element and not stored. Of the tail the top `tailBits` are stored.
 * signed: the sign is part of the symbol; otherwise it is the top bit of the head's raw bits.
 * Planes: element i's field of b bits starts at bit b * i, least significant first.
 */
export function splitFloats(count: u32, width: u32, low: u32, zeros: u32, signed: bool, tailBits: u32): void {
  const tailWidth = (width << 3) - 16;
  const kept = low - zeros;
  const headBits = kept + <u32>!signed;
  let i: u32 = 0;
  if (hasVectors(width, headBits, signed, tailBits)) {
    // shifts by constants, for the usual cuts, take half of the time
    if (low == 4 && !zeros) splitVectors(count, width, 4, 0, tailBits);
    else if (low == 7 && !zeros) splitVectors(count, width, 7, 0, tailBits);
    else splitVectors(count, width, low, zeros, tailBits);
    i = count & ~7;
  }
  // the remaining elements are packed by OR into zeroed memory
  memory.fill(heads + (i >> 3) * headBits, 0, ((count + 7 - i) >> 3) * headBits + 8);
  memory.fill(tails + (i >> 3) * tailBits, 0, ((count + 7 - i) >> 3) * tailBits + 8);
  for (; i < count; i++) {
    const x = elementAt(i, width);
    const head = <u32>(x >> tailWidth);
    store<u16>(symbols + (i << 1), <u16>((signed ? head : head & 0x7fff) >> low));
    let raw = (head >> zeros) & <u32>lowMask(kept);
    if (!signed) raw |= (head >> 15) << kept;
    if (headBits) pack(heads, i * headBits, raw);
    if (tailBits) pack(tails, i * tailBits, (x & lowMask(tailWidth)) >> (tailWidth - tailBits));
  }
}

/** Whether elements are split eight at a time: those that no raw bits of the sign, or of a part of the tail, complicate. */
@inline
function hasVectors(width: u32, headBits: u32, signed: bool, tailBits: u32): bool {
  return !signed && headBits <= 8 && (width == 2 || (width == 4 && tailBits % 16 == 0));
}

/** Splits the elements, eight at a time, but for those that remain. */
@inline
function splitVectors(count: u32, width: u32, low: u32, zeros: u32, tailBits: u32): void {
  const kept = low - zeros, headBits = kept + 1;
  const weights = i32x4.splat(<i32>(1 | (1 << (16 + headBits)))); // joins a pair of fields: x + y * 2^headBits
  const keptMask = i16x8.splat(<i16>lowMask(kept)), signBit = i16x8.splat(<i16>((<i32>1) << kept));
  const unsigned = i16x8.splat(0x7fff);
  let packed = heads;
  for (let i: u32 = 0; i + 8 <= count; i += 8) {
    let head: v128;
    if (width == 2) head = v128.load(elements + (i << 1));
    else {
      const first = v128.load(elements + (i << 2)), second = v128.load(elements + (i << 2), 16);
      head = upperHalves(first, second);
      if (tailBits) v128.store(tails + (i << 1), v128.shuffle<u8>(first, second, 0, 1, 4, 5, 8, 9, 12, 13, 16, 17, 20, 21, 24, 25, 28, 29));
    }
    v128.store(symbols + (i << 1), i16x8.shr_u(v128.and(head, unsigned), low));
    const raw = v128.or(v128.and(i16x8.shr_u(head, zeros), keptMask), v128.and(i16x8.shr_s(head, 15), signBit));
    const pairs = i32x4.dot_i16x8_s(raw, weights);
    const fours = v128.or(pairs, i64x2.shr_u(pairs, 32 - 2 * headBits)); // in the low half of each lane
    store<u64>(packed, <u64>(<u32>i64x2.extract_lane(fours, 0)) | (<u64>i64x2.extract_lane(fours, 1) << (4 * headBits)));
    packed += headBits;
  }
}

/**
 * Inverts splitFloats for elements from `first` (a multiple of 8) to `first + count`. `symbols` are decoded and shifted
 * left by `low`; `heads` and `tails` are the payload's, from element 0.
 */
export function mergeFloats(first: u32, count: u32, width: u32, low: u32, zeros: u32, signed: bool, tailBits: u32, heads: usize, tails: usize): void {
  const from = symbols, to = elements;
  const tailWidth = (width << 3) - 16;
  const kept = low - zeros;
  const headBits = kept + <u32>!signed;
  let i: u32 = 0;
  if (hasVectors(width, headBits, signed, tailBits)) {
    if (low == 4 && !zeros) mergeVectors(first, count, width, 4, 0, tailBits, heads, tails);
    else if (low == 7 && !zeros) mergeVectors(first, count, width, 7, 0, tailBits, heads, tails);
    else mergeVectors(first, count, width, low, zeros, tailBits, heads, tails);
    i = count & ~7;
  }
  for (; i < count; i++) {
    const index = first + i;
    const bit = index * headBits;
    const raw = headBits ? <u32>(load<u64>(heads + (bit >> 3)) >> (bit & 7)) & <u32>lowMask(headBits) : 0;
    let head = <u32>load<u16>(from + (i << 1)) | ((raw & <u32>lowMask(kept)) << zeros);
    if (!signed) head |= (raw >> kept) << 15;
    let x = (<u64>head) << tailWidth;
    if (tailBits) {
      const tailBit = index * tailBits;
      x |= ((load<u64>(tails + (tailBit >> 3)) >> (tailBit & 7)) & lowMask(tailBits)) << (tailWidth - tailBits);
    }
    if (width == 2) store<u16>(to + (index << 1), <u16>x);
    else if (width == 4) store<u32>(to + (index << 2), <u32>x);
    else store<u64>(to + (index << 3), x);
  }
}

const scratch: usize = memory.data(32, 16);

/** Inverts splitVectors for elements from `first` (a multiple of 8) on. */
@inline
function mergeVectors(first: u32, count: u32, width: u32, low: u32, zeros: u32, tailBits: u32, heads: usize, tails: usize): void {
  const kept = low - zeros, headBits = kept + 1;
  for (let lane: u32 = 0; lane < 8; lane++) {
    // lane's field lies in the 16 bits from byte (lane * headBits) / 8; a multiplication moves it to the top, where the sign belongs
    const bit = lane * headBits;
    store<u8>(scratch + lane * 2, <u8>(bit >> 3));
    store<u8>(scratch + lane * 2 + 1, <u8>((bit >> 3) + 1));
    store<u16>(scratch + 16 + lane * 2, <u16>(<u32>1 << (16 - headBits - (bit & 7))));
  }
  const gather = v128.load(scratch), scale = v128.load(scratch + 16);
  const keptMask = i16x8.splat(<i16>(lowMask(kept) << zeros)), sign = i16x8.splat(<i16>0x8000);
  const from = symbols;
  let packed = heads + (first >> 3) * headBits;
  for (let i: u32 = 0; i + 8 <= count; i += 8) {
    const raw = i16x8.mul(i8x16.swizzle(v128.load64_zero(packed), gather), scale);
    const rest = v128.and(i16x8.shr_u(raw, 15 - low), keptMask);
    const head = v128.or(v128.bitselect(raw, v128.load(from + (i << 1)), sign), rest);
    packed += headBits;
    if (width == 2) v128.store(elements + ((first + i) << 1), head);
    else {
      const tail = tailBits ? v128.load(tails + ((first + i) << 1)) : i16x8.splat(0);
      const at = elements + ((first + i) << 2);
      v128.store(at, v128.shuffle<u8>(tail, head, 0, 1, 16, 17, 2, 3, 18, 19, 4, 5, 20, 21, 6, 7, 22, 23));
      v128.store(at, v128.shuffle<u8>(tail, head, 8, 9, 24, 25, 10, 11, 26, 27, 12, 13, 28, 29, 14, 15, 30, 31), 16);
    }
  }
}

// ---- checksum: XXH64 (xxHash specification 0.1.1, section "XXH64 algorithm") ---------------------------------------

const P1: u64 = 0x9e3779b185ebca87, P2: u64 = 0xc2b2ae3d27d4eb4f, P3: u64 = 0x165667b19e3779f9;
const P4: u64 = 0x85ebca77c2b2ae63, P5: u64 = 0x27d4eb2f165667c5;

@inline
function round(accumulator: u64, lane: u64): u64 {
  return rotl<u64>(accumulator + lane * P2, 31) * P1;
}

@inline
function mergeRound(hash: u64, accumulator: u64): u64 {
  return (hash ^ round(0, accumulator)) * P1 + P4;
}

/** XXH64 of `length` bytes. */
export function checksum(bytes: usize, length: usize, seed: u64): u64 {
  const end = bytes + length;
  let hash: u64;
  if (length >= 32) {
    let a = seed + P1 + P2, b = seed + P2, c = seed, d = seed - P1;
    for (const stop = end - 32; bytes <= stop; bytes += 32) {
      a = round(a, load<u64>(bytes));
      b = round(b, load<u64>(bytes, 8));
      c = round(c, load<u64>(bytes, 16));
      d = round(d, load<u64>(bytes, 24));
    }
    hash = rotl<u64>(a, 1) + rotl<u64>(b, 7) + rotl<u64>(c, 12) + rotl<u64>(d, 18);
    hash = mergeRound(mergeRound(mergeRound(mergeRound(hash, a), b), c), d);
  } else hash = seed + P5;
  hash += length;
  for (; bytes + 8 <= end; bytes += 8) hash = rotl<u64>(hash ^ round(0, load<u64>(bytes)), 27) * P1 + P4;
  if (bytes + 4 <= end) {
    hash = rotl<u64>(hash ^ ((<u64>load<u32>(bytes)) * P1), 23) * P2 + P3;
    bytes += 4;
  }
  for (; bytes < end; bytes++) hash = rotl<u64>(hash ^ ((<u64>load<u8>(bytes)) * P5), 11) * P1;
  hash = (hash ^ (hash >> 33)) * P2;
  hash = (hash ^ (hash >> 29)) * P3;
  return hash ^ (hash >> 32);
}
