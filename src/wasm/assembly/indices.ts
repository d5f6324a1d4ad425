// The inner loops of the lossy codec's entropy coder: they convert indices of dependent quantization to bytes and back, and to values.
// spec/wpk-v1.md, "Trellis blocks", has the layouts. Pointers are byte offsets into the module's memory;
// src/wasm/index-memory.ts lays out the buffers, with padding for whole SIMD vectors after each.
//
// A row is decoded in four passes over its columns: each weight's table, its index, the next trellis state, its value.
// Only the second pass is serial; in it four rANS states are interleaved: column j belongs to state j % 4.
import { CONTEXTS, KIND_F16, KIND_F32, KIND_I16, TABLES, TOKEN_BITS, TOKEN_SCALE_BITS, TOKENS } from '../constants';
import {
  endedAt as streamEndedAt, entryAt, input, output, put, refill, saveStates, setInput, setOutput, setState,
  startDecoding as startStream, stateA, stateB, stateC, stateD, stateOf, writeEntry,
} from './_rans';

export * from '../constants';
export { heapBase } from './_memory';
export { finishEncoding, startEncoding } from './_rans';

// Buffers, set by loader.ts whenever memory has grown. Per file: rANS tables, u16 frequencies [TABLES][TOKENS] (tokens from
// -64; a table sums to SCALE, or is all zero and never used), f32 shrinks [TABLES][4].
export let slots: usize = 0, encoder: usize = 0, frequencies: usize = 0, shrinks: usize = 0;
// Per block: i16 contexts, f32 steps; the trellis state of each column before the next row, u8.
export let rowContexts: usize = 0, rowSteps: usize = 0, columnContexts: usize = 0, columnSteps: usize = 0, states: usize = 0;
// Per row: tables u8, indices i16. Per call, for all its rows: elements; when encoding, i16 indices, tables u8 and tokens u8.
export let rowTables: usize = 0, rowIndices: usize = 0, elements: usize = 0, tables: usize = 0, tokens: usize = 0;

// ---- tokens: the symbols of the tables ------------------------------------------------------------------------------------

const ESCAPE: i32 = -(TOKENS / 2);

/** Returns the token of a magnitude: itself below 16, then 8 tokens per octave; the bits below the top 4 follow raw. */
@inline
function magnitudeToken(magnitude: u32): u32 {
  if (magnitude < 16) return magnitude;
  const raw = 28 - clz(magnitude);
  return (raw << 3) + (magnitude >> raw);
}

@inline
function rawBitsOf(token: u32): u32 {
  return token < 16 ? 0 : (token >> 3) - 1;
}

// ---- tables: rANS with frequencies of 12 bits, so that frequency, offset and token of a slot share 32 bits -----------------

const SCALE: u32 = 1 << TOKEN_SCALE_BITS;

/** A slot: frequency (bits 0-11), offset from its token's first slot (12-23), "raw bits follow" (24), token (25-31). */
const SLOT_TABLE_BITS: u32 = TOKEN_SCALE_BITS + 2;
const MORE: u32 = 1 << 24;

/** Fills `slots`, SCALE u32 per table, from `frequencies`. */
export function buildDecoder(): void {
  for (let table = 0; table < TABLES; table++) {
    let next = slots + (<usize>table << SLOT_TABLE_BITS);
    const end = next + (SCALE << 2);
    for (let token = ESCAPE; token < -ESCAPE; token++) {
      const frequency: u32 = load<u16>(frequencies + (((table << TOKEN_BITS) + token - ESCAPE) << 1));
      const more = abs(token) >= 16 ? MORE : 0;
      for (let i: u32 = 0; i < frequency && next < end; i++, next += 4)
        store<u32>(next, frequency | (i << TOKEN_SCALE_BITS) | more | (<u32>token << 25));
    }
    for (; next < end; next += 4) store<u32>(next, MORE); // frequency 0: the decoder fails here
  }
}

/** Fills `encoder`, one entry per table and token, from `frequencies`. */
export function buildEncoder(): void {
  let start: u32 = 0;
  for (let i = 0; i < TABLES * TOKENS; i++) {
    if (i % TOKENS == 0) start = 0;
    const frequency: u32 = load<u16>(frequencies + (i << 1));
    writeEntry(entryAt(encoder, i), frequency, start, TOKEN_SCALE_BITS);
    start += frequency;
  }
}

// ---- passes over a row -----------------------------------------------------------------------------------------------

/** Computes the table of every column, u8: context * 2 + quantizer. Contexts are i16, states u8. */
@inline
function chooseTables(row: u32, columns: u32, out: usize): void {
  const contexts = columnContexts, quantized = states;
  const context = i16x8.splat(load<i16>(rowContexts + (row << 1)));
  const last = i16x8.splat(<i16>(CONTEXTS - 1)), first = i16x8.splat(0), one = i8x16.splat(1);
  for (let j: u32 = 0; j < columns; j += 16) {
    const at = contexts + (j << 1);
    const low = i16x8.max_s(i16x8.min_s(i16x8.add_sat_s(v128.load(at), context), last), first);
    const high = i16x8.max_s(i16x8.min_s(i16x8.add_sat_s(v128.load(at, 16), context), last), first);
    const quantizers = v128.and(v128.load(quantized + j), one);
    v128.store(out + j, v128.or(i8x16.shl(i8x16.narrow_i16x8_u(low, high), 1), quantizers));
  }
}

/** Updates every column's state by the parity of its index. */
@inline
function moveStates(columns: u32, indices: usize): void {
  const next = i8x16(0, 7, 1, 6, 2, 5, 3, 4, 2, 5, 3, 4, 0, 7, 1, 6); // indexed by state: after even indices, then after odd ones
  const one = i16x8.splat(1), moved = states;
  for (let j: u32 = 0; j < columns; j += 16) {
    const at = indices + (j << 1);
    const odd = i8x16.narrow_i16x8_u(v128.and(v128.load(at), one), v128.and(v128.load(at, 16), one));
    v128.store(moved + j, i8x16.swizzle(next, v128.or(v128.load(moved + j), i8x16.shl(odd, 3))));
  }
}

// ---- decoding --------------------------------------------------------------------------------------------------------------

let rawBase: usize = 0;
let rawBit: u32 = 0;
let usable: bool = true;

/** Reads the states at the start of a stream; raw bits start at `raw`. */
export function startDecoding(stream: usize, raw: usize): void {
  startStream(stream);
  startRaw(raw, 0);
  usable = true;
}

/** Returns the address of the stream's next word; `rawPosition` that of the byte with the next raw bit. */
export function streamPosition(): usize { return input; }
export function rawPosition(): usize { return rawBase + (rawBit >> 3); }

/** Sets the addresses to which the caller has moved the bytes at the two positions above. */
export function moveInput(stream: usize, raw: usize): void {
  setInput(stream);
  startRaw(raw, rawBit & 7);
}

/** Returns true when a block was read exactly: the stream up to `end`, raw bits up to their last byte, states equal to the encoder's initial ones. */
export function endedAt(end: usize, rawEnd: usize): bool {
  const padding = rawBit & 7 ? <u32>load<u8>(rawEnd - 1) >> (rawBit & 7) : 0;
  return usable && !padding && streamEndedAt(end) && rawBase + ((rawBit + 7) >> 3) == rawEnd;
}

@inline
function readRaw(bits: u32): u32 {
  const value = <u32>(load<u32>(rawBase + (rawBit >> 3)) >> (rawBit & 7)) & ((1 << bits) - 1);
  rawBit += bits;
  return value;
}

/** Returns the index of a slot whose token is followed by raw bits, which it reads. */
function finish(slot: u32): i32 {
  if (!(slot & (SCALE - 1))) usable = false;
  let token = <i32>slot >> 25;
  if (token == ESCAPE) token = <i32>readRaw(TOKEN_BITS) + ESCAPE;
  const magnitude = <u32>abs(token);
  const bits = rawBitsOf(magnitude);
  if (!bits) return token;
  const whole = ((8 | (magnitude & 7)) << bits) | readRaw(bits);
  return token < 0 ? -<i32>whole : <i32>whole;
}

@inline
function slotOf(all: usize, table: u32, state: u32): u32 {
  return load<u32>(all + (<usize>table << SLOT_TABLE_BITS) + ((state & (SCALE - 1)) << 2));
}

@inline
function next(state: u32, slot: u32): u32 {
  return refill((slot & (SCALE - 1)) * (state >> TOKEN_SCALE_BITS) + ((slot >> TOKEN_SCALE_BITS) & (SCALE - 1)));
}

/** Decodes a row to `rowIndices`, with the tables in `rowTables`. */
@inline
function decodeRow(columns: u32): void {
  const from = rowTables, all = slots, indices = rowIndices;
  let a = stateA, b = stateB, c = stateC, d = stateD;
  const whole = columns & ~3;
  for (let j: u32 = 0; j < whole; j += 4) {
    const four = load<u32>(from + j);
    const slotA = slotOf(all, four & 0xff, a), slotB = slotOf(all, (four >> 8) & 0xff, b);
    const slotC = slotOf(all, (four >> 16) & 0xff, c), slotD = slotOf(all, four >> 24, d);
    a = next(a, slotA);
    b = next(b, slotB);
    c = next(c, slotC);
    d = next(d, slotD);
    const out = indices + (j << 1);
    store<i16>(out, <i16>(<i32>slotA >> 25));
    store<i16>(out, <i16>(<i32>slotB >> 25), 2);
    store<i16>(out, <i16>(<i32>slotC >> 25), 4);
    store<i16>(out, <i16>(<i32>slotD >> 25), 6);
    if ((slotA | slotB | slotC | slotD) & MORE) {
      if (slotA & MORE) store<i16>(out, <i16>finish(slotA));
      if (slotB & MORE) store<i16>(out, <i16>finish(slotB), 2);
      if (slotC & MORE) store<i16>(out, <i16>finish(slotC), 4);
      if (slotD & MORE) store<i16>(out, <i16>finish(slotD), 6);
    }
  }
  saveStates(a, b, c, d);
  for (let j = whole; j < columns; j++) {
    const state = stateOf(j - whole), slot = slotOf(all, load<u8>(from + j), state);
    setState(j - whole, next(state, slot));
    store<i16>(indices + (j << 1), <i16>(slot & MORE ? finish(slot) : <i32>slot >> 25));
  }
}

/**
 * Decodes `rows` rows of the block, from row `first` on (where the last call ended), to contiguous `elements` of `kind`.
 * `shrunk`: not all `shrinks` are zero.
 * Returns false when the stream or the raw bits are found to be damaged; reads at most one row past their ends.
 */
export function decodeRows(first: u32, rows: u32, columns: u32, shrunk: bool, kind: u32, streamEnd: usize, rawEnd: usize): bool {
  const rowBytes = columns << (kind == KIND_F32 ? 2 : 1);
  let out = elements;
  for (let row = first; row < first + rows; row++, out += rowBytes) {
    chooseTables(row, columns, rowTables);
    decodeRow(columns);
    if (!usable || input > streamEnd || rawBase + ((rawBit + 7) >> 3) > rawEnd) return false;
    moveStates(columns, rowIndices);
    if (kind == KIND_I16) memory.copy(out, rowIndices, rowBytes);
    else writeValues(columns, load<f32>(rowSteps + (row << 2)), shrunk, kind, out);
  }
  return true;
}

// ---- values --------------------------------------------------------------------------------------------------------------

const places: usize = memory.data(16, 16);

/** Writes sign(k) * (|level| - shrink) * rowStep * columnStep in float32, in that order, rounded to the kind of element. */
function writeValues(columns: u32, rowStep: f32, shrunk: bool, kind: u32, out: usize): void {
  const indices = rowIndices, from = rowTables, shares = shrinks, steps = columnSteps;
  const step = f32x4.splat(rowStep), zero = i16x8.splat(0), one = i16x8.splat(1), three = i16x8.splat(3);
  for (let j: u32 = 0; j < columns; j += 8) {
    const k = v128.load(indices + (j << 1));
    const table = v128.load8x8_u(from + j);
    const magnitude = i16x8.abs(k);
    const odd = v128.and(i16x8.ne(k, zero), v128.and(table, one));
    const levels = i16x8.sub(i16x8.shl(magnitude, 1), odd);
    let low = f32x4.convert_i32x4_u(i32x4.extend_low_i16x8_u(levels));
    let high = f32x4.convert_i32x4_u(i32x4.extend_high_i16x8_u(levels));
    if (shrunk) {
      v128.store(places, i16x8.shl(i16x8.add(i16x8.shl(table, 2), i16x8.min_s(magnitude, three)), 2));
      low = f32x4.sub(low, gather(shares, places));
      high = f32x4.sub(high, gather(shares, places + 8));
    }
    const sign = v128.and(k, i16x8.splat(-32768));
    low = v128.xor(low, i32x4.shl(i32x4.extend_low_i16x8_u(sign), 16));
    high = v128.xor(high, i32x4.shl(i32x4.extend_high_i16x8_u(sign), 16));
    low = f32x4.mul(f32x4.mul(low, step), v128.load(steps + (j << 2)));
    high = f32x4.mul(f32x4.mul(high, step), v128.load(steps + (j << 2), 16));
    if (kind == KIND_F32) {
      v128.store(out + (j << 2), low);
      v128.store(out + (j << 2), high, 16);
    } else if (kind == KIND_F16) v128.store(out + (j << 1), i16x8.narrow_i32x4_u(toHalf(low), toHalf(high)));
    else v128.store(out + (j << 1), i16x8.narrow_i32x4_u(toBrain(low), toBrain(high)));
  }
}

/** Returns four f32 at byte offsets (u16) from `base`. */
@inline
function gather(base: usize, offsets: usize): v128 {
  let four = v128.load32_zero(base + <usize>load<u16>(offsets));
  four = v128.load32_lane(base + <usize>load<u16>(offsets, 2), four, 1);
  four = v128.load32_lane(base + <usize>load<u16>(offsets, 4), four, 2);
  return v128.load32_lane(base + <usize>load<u16>(offsets, 6), four, 3);
}

/** Converts float32 to float16 in the low halves, to nearest, ties to even; overflow gives the largest finite number. */
@inline
function toHalf(x: v128): v128 {
  const magnitude = v128.and(x, i32x4.splat(0x7fffffff));
  const tie = v128.and(i32x4.shr_u(magnitude, 13), i32x4.splat(1));
  const normal = i32x4.shr_u(i32x4.add(i32x4.add(magnitude, tie), i32x4.splat(0xfff - (112 << 23))), 13);
  // below 2^-14: adding 1/2 leaves multiples of 2^-24, the step of subnormal halves, rounded as asked
  const subnormal = i32x4.sub(f32x4.add(magnitude, f32x4.splat(0.5)), i32x4.splat(0x3f000000));
  const half = v128.bitselect(subnormal, normal, i32x4.lt_s(magnitude, i32x4.splat(0x38800000)));
  return v128.or(i32x4.min_s(half, i32x4.splat(0x7bff)), i32x4.shl(i32x4.shr_u(x, 31), 15));
}

/** Converts float32 to bfloat16, with the same rounding. */
@inline
function toBrain(x: v128): v128 {
  const magnitude = v128.and(x, i32x4.splat(0x7fffffff));
  const tie = v128.and(i32x4.shr_u(magnitude, 16), i32x4.splat(1));
  const rounded = i32x4.shr_u(i32x4.add(i32x4.add(magnitude, tie), i32x4.splat(0x7fff)), 16);
  return v128.or(i32x4.min_s(rounded, i32x4.splat(0x7f7f)), i32x4.shl(i32x4.shr_u(x, 31), 15));
}

// ---- encoding: in order to find every weight's table, token and raw bits; then in reverse through rANS -------------------------

/** Starts raw bits at `raw`; the first `bits` (0-7) of its first byte are already written. */
export function startRaw(raw: usize, bits: u32): void {
  rawBase = raw;
  rawBit = bits;
}

/** Returns the number of raw bits since `startRaw`, including those already written then. */
export function rawLengthBits(): u32 { return rawBit; }

@inline
function writeRaw(value: u32, bits: u32): void {
  const at = rawBase + (rawBit >> 3), filled = rawBit & 7;
  store<u32>(at, (<u32>load<u8>(at) & ((1 << filled) - 1)) | (value << filled));
  rawBit += bits;
}

/**
 * Finds `tables` and `tokens` of `rows` rows of indices in `elements`, starting at row `first` of the block; writes raw
 * bits and updates `states`. A token that `encoder` does not contain becomes an escape.
 * Returns false when a table has no escape either, or an index is beyond 1023.
 */
export function tokenize(first: u32, rows: u32, columns: u32): bool {
  let missing: u32 = 0, from = elements, toTable = tables, toToken = tokens;
  for (let row = first; row < first + rows; row++) {
    chooseTables(row, columns, toTable);
    for (let j: u32 = 0; j < columns; j++) {
      const k = <i32>load<i16>(from + (j << 1));
      const magnitude = <u32>abs(k);
      missing |= magnitude >> 10;
      const size = magnitudeToken(magnitude & 1023);
      const token = (k < 0 ? -<i32>size : <i32>size) - ESCAPE;
      const escape = entryOf(load<u8>(toTable + j), 0);
      const known = load<u64>(entryAt(escape, token)) != 0;
      store<u8>(toToken + j, <u8>(known ? token : 0));
      if (!known) {
        missing |= <u32>(load<u64>(escape) == 0);
        writeRaw(token, TOKEN_BITS);
      }
      const bits = rawBitsOf(size);
      if (bits) writeRaw(magnitude & ((1 << bits) - 1), bits);
    }
    moveStates(columns, from);
    from += columns << 1;
    toTable += columns;
    toToken += columns;
  }
  return !missing;
}

@inline
function entryOf(table: u32, token: u32): usize {
  return entryAt(encoder, (table << TOKEN_BITS) | token);
}

@inline
function putToken(state: u32, table: u32, token: u32): u32 {
  return put(state, entryOf(table, token), TOKEN_SCALE_BITS);
}

/** Encodes rows of `tables` and `tokens`, the last first. Writes downwards from `end`; returns the start of the words. */
export function encodeRows(rows: u32, columns: u32, end: usize): usize {
  setOutput(end);
  let a = stateA, b = stateB, c = stateC, d = stateD;
  const whole = columns & ~3;
  for (let row = rows; row > 0; row--) {
    const table = tables + (row - 1) * columns, token = tokens + (row - 1) * columns;
    if (columns > whole + 2) c = putToken(c, load<u8>(table + whole, 2), load<u8>(token + whole, 2));
    if (columns > whole + 1) b = putToken(b, load<u8>(table + whole, 1), load<u8>(token + whole, 1));
    if (columns > whole) a = putToken(a, load<u8>(table + whole), load<u8>(token + whole));
    for (let j = whole; j > 0; j -= 4) {
      const t = load<u32>(table + j - 4), s = load<u32>(token + j - 4);
      d = putToken(d, t >> 24, s >> 24);
      c = putToken(c, (t >> 16) & 0xff, (s >> 16) & 0xff);
      b = putToken(b, (t >> 8) & 0xff, (s >> 8) & 0xff);
      a = putToken(a, t & 0xff, s & 0xff);
    }
  }
  saveStates(a, b, c, d);
  return output;
}
