// The inner loops of the lossy codec's entropy coder: indices of dependent quantization to bytes and back, and to values.
// spec/wpk-v1.md, "Trellis blocks", has the layouts. Pointers are byte offsets; the caller lays memory out
// (src/wasm/indices.ts), with room for whole vectors, and for one row of a damaged stream, past every end.
//
// A row is decoded in passes over all its columns: which table each weight has, its index, the state it leaves behind,
// its value. Only the second is serial, and there four states of rANS run side by side: column j belongs to state j % 4.

// ---- tokens: what the tables are about -----------------------------------------------------------------------------------

const TOKENS: u32 = 128; // -63 to 63, and the escape in place of -64
const ESCAPE: i32 = -64;
const TOKEN_BITS: u32 = 7;

/** Magnitudes below 16 are tokens; from there on each octave has 8 tokens, and bits below their top 4 follow raw. */
// @ts-ignore: decorator
@inline
function magnitudeToken(magnitude: u32): u32 {
  if (magnitude < 16) return magnitude;
  const raw = 28 - clz(magnitude);
  return (raw << 3) + (magnitude >> raw);
}

// @ts-ignore: decorator
@inline
function rawBitsOf(token: u32): u32 {
  return token < 16 ? 0 : (token >> 3) - 1;
}

// ---- tables: rANS with frequencies of 12 bits, so that frequency, offset and token of a slot share 32 bits -----------------

const SCALE_BITS: u32 = 12;
const SCALE: u32 = 1 << SCALE_BITS;
const LOWEST_STATE: u32 = 1 << 16;
const RECIPROCAL_BITS: u64 = 44;
const TABLES: u32 = 128;

/** A slot: frequency (bits 0-11), its distance from its token's first (12-23), "bits follow" (24), token (25-31). */
const SLOT_TABLE_BITS: u32 = SCALE_BITS + 2;
const MORE: u32 = 1 << 24;

/**
 * Builds what `decodeRows` looks up: SCALE slots of u32 a table.
 * `frequencies`: u16 [TABLES][TOKENS], tokens from -64; each table sums to SCALE, or is all zero and never used.
 */
export function buildDecoder(frequencies: usize, slots: usize): void {
  for (let table: u32 = 0; table < TABLES; table++) {
    let next = slots + (<usize>table << SLOT_TABLE_BITS);
    const end = next + (SCALE << 2);
    for (let token = ESCAPE; token < -ESCAPE; token++) {
      const frequency: u32 = load<u16>(frequencies + (((table << TOKEN_BITS) + token - ESCAPE) << 1));
      const more = abs(token) >= 16 ? MORE : 0;
      for (let i: u32 = 0; i < frequency && next < end; i++, next += 4)
        store<u32>(next, frequency | (i << SCALE_BITS) | more | (<u32>token << 25));
    }
    for (; next < end; next += 4) store<u32>(next, MORE); // of frequency 0: the decoder gives up
  }
}

/**
 * Builds what the encoder looks up, 16 bytes a token, by table and token from -64: reciprocal u64, least state to
 * renormalize u32, start u16, SCALE - frequency u16. The reciprocal is ceil(2^44 / frequency): states are below
 * 2^20 * frequency when they are divided, which makes the product less than 2^64 and floor(x / frequency) exact.
 */
export function buildEncoder(frequencies: usize, table: usize): void {
  for (let t: u32 = 0; t < TABLES; t++) {
    let start: u32 = 0;
    for (let s: u32 = 0; s < TOKENS; s++) {
      const frequency: u32 = load<u16>(frequencies + (((t << TOKEN_BITS) + s) << 1));
      const entry = table + (((t << TOKEN_BITS) + s) << 4);
      store<u64>(entry, frequency ? (((<u64>1) << RECIPROCAL_BITS) + frequency - 1) / frequency : 0);
      store<u32>(entry + 8, frequency << 20);
      store<u16>(entry + 12, <u16>start);
      store<u16>(entry + 14, <u16>(SCALE - frequency));
      start += frequency;
    }
  }
}

// ---- passes over a row -----------------------------------------------------------------------------------------------

/** The table of every column, u8: context * 2 + quantizer. Contexts are i16, states u8. */
// @ts-ignore: decorator
@inline
function chooseTables(rowContext: i16, columns: u32, columnContexts: usize, states: usize, tables: usize): void {
  const row = i16x8.splat(rowContext), last = i16x8.splat(63), first = i16x8.splat(0), one = i8x16.splat(1);
  for (let j: u32 = 0; j < columns; j += 16) {
    const at = columnContexts + (j << 1);
    const low = i16x8.max_s(i16x8.min_s(i16x8.add_sat_s(v128.load(at), row), last), first);
    const high = i16x8.max_s(i16x8.min_s(i16x8.add_sat_s(v128.load(at, 16), row), last), first);
    const quantizers = v128.and(v128.load(states + j), one);
    v128.store(tables + j, v128.or(i8x16.shl(i8x16.narrow_i16x8_u(low, high), 1), quantizers));
  }
}

/** Moves every column's state by the parity of its index. */
// @ts-ignore: decorator
@inline
function moveStates(columns: u32, indices: usize, states: usize): void {
  const next = i8x16(0, 7, 1, 6, 2, 5, 3, 4, 2, 5, 3, 4, 0, 7, 1, 6); // by state, after even indices, then odd ones
  const one = i16x8.splat(1);
  for (let j: u32 = 0; j < columns; j += 16) {
    const at = indices + (j << 1);
    const odd = i8x16.narrow_i16x8_u(v128.and(v128.load(at), one), v128.and(v128.load(at, 16), one));
    v128.store(states + j, i8x16.swizzle(next, v128.or(v128.load(states + j), i8x16.shl(odd, 3))));
  }
}

// ---- decoding --------------------------------------------------------------------------------------------------------------

let stateA: u32 = 0, stateB: u32 = 0, stateC: u32 = 0, stateD: u32 = 0;
let input: usize = 0;
let rawBase: usize = 0;
let rawBit: u32 = 0;
let usable: bool = true;

/** Reads the four states at the head of a stream; raw bits begin at `raw`. */
export function startDecoding(stream: usize, raw: usize): void {
  stateA = load<u32>(stream);
  stateB = load<u32>(stream, 4);
  stateC = load<u32>(stream, 8);
  stateD = load<u32>(stream, 12);
  input = stream + 16;
  rawBase = raw;
  rawBit = 0;
  usable = true;
}

/** Where the next word of the stream, or the byte of the next raw bit, lies. */
export function streamPosition(): usize { return input; }
export function rawPosition(): usize { return rawBase + (rawBit >> 3); }

/** Says that what lay at the positions above now lies here instead. */
export function moveInput(stream: usize, raw: usize): void {
  input = stream;
  rawBase = raw;
  rawBit &= 7;
}

/** True when a block was consumed exactly: the stream up to `end`, raw bits up to their last byte, states where encoders begin. */
export function endedAt(end: usize, rawEnd: usize): bool {
  const padding = rawBit & 7 ? <u32>load<u8>(rawEnd - 1) >> (rawBit & 7) : 0;
  return usable && !padding && input == end && rawBase + ((rawBit + 7) >> 3) == rawEnd &&
    stateA == LOWEST_STATE && stateB == LOWEST_STATE && stateC == LOWEST_STATE && stateD == LOWEST_STATE;
}

// @ts-ignore: decorator
@inline
function readRaw(bits: u32): u32 {
  const value = <u32>(load<u32>(rawBase + (rawBit >> 3)) >> (rawBit & 7)) & ((1 << bits) - 1);
  rawBit += bits;
  return value;
}

/** The index whose slot says that bits follow. */
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

/** The indices of a row, i16. */
// @ts-ignore: decorator
@inline
function decodeRow(columns: u32, tables: usize, slots: usize, indices: usize): void {
  let a = stateA, b = stateB, c = stateC, d = stateD, at = input;
  const whole = columns & ~3;
  for (let j: u32 = 0; j < whole; j += 4) {
    const four = load<u32>(tables + j);
    const slotA = load<u32>(slots + ((four & 0xff) << SLOT_TABLE_BITS) + ((a & (SCALE - 1)) << 2));
    const slotB = load<u32>(slots + (((four >> 8) & 0xff) << SLOT_TABLE_BITS) + ((b & (SCALE - 1)) << 2));
    const slotC = load<u32>(slots + (((four >> 16) & 0xff) << SLOT_TABLE_BITS) + ((c & (SCALE - 1)) << 2));
    const slotD = load<u32>(slots + ((four >> 24) << SLOT_TABLE_BITS) + ((d & (SCALE - 1)) << 2));
    a = (slotA & (SCALE - 1)) * (a >> SCALE_BITS) + ((slotA >> SCALE_BITS) & (SCALE - 1));
    b = (slotB & (SCALE - 1)) * (b >> SCALE_BITS) + ((slotB >> SCALE_BITS) & (SCALE - 1));
    c = (slotC & (SCALE - 1)) * (c >> SCALE_BITS) + ((slotC >> SCALE_BITS) & (SCALE - 1));
    d = (slotD & (SCALE - 1)) * (d >> SCALE_BITS) + ((slotD >> SCALE_BITS) & (SCALE - 1));
    const lowA = <u32>(a < LOWEST_STATE);
    a = select<u32>((a << 16) | load<u16>(at), a, lowA);
    at += lowA << 1;
    const lowB = <u32>(b < LOWEST_STATE);
    b = select<u32>((b << 16) | load<u16>(at), b, lowB);
    at += lowB << 1;
    const lowC = <u32>(c < LOWEST_STATE);
    c = select<u32>((c << 16) | load<u16>(at), c, lowC);
    at += lowC << 1;
    const lowD = <u32>(d < LOWEST_STATE);
    d = select<u32>((d << 16) | load<u16>(at), d, lowD);
    at += lowD << 1;
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
  for (let j = whole; j < columns; j++) {
    const lane = j - whole;
    let state = lane == 0 ? a : lane == 1 ? b : c;
    const slot = load<u32>(slots + (<usize>load<u8>(tables + j) << SLOT_TABLE_BITS) + ((state & (SCALE - 1)) << 2));
    state = (slot & (SCALE - 1)) * (state >> SCALE_BITS) + ((slot >> SCALE_BITS) & (SCALE - 1));
    if (state < LOWEST_STATE) {
      state = (state << 16) | load<u16>(at);
      at += 2;
    }
    store<i16>(indices + (j << 1), <i16>(slot & MORE ? finish(slot) : <i32>slot >> 25));
    if (lane == 0) a = state;
    else if (lane == 1) b = state;
    else c = state;
  }
  stateA = a;
  stateB = b;
  stateC = c;
  stateD = d;
  input = at;
}

/** What `kind` of element decodeRows writes. */
const INDICES: u32 = 0, F32: u32 = 1, F16: u32 = 2, BF16: u32 = 3;

/**
 * Decodes `rows` rows from where the last call ended. `rowContexts` i16, `rowSteps` f32; for columns `columnContexts`
 * i16, `columnSteps` f32, `states` u8 (kept between calls); `tables` u8 and `indices` i16 are scratch for a row.
 * `shrinks`: f32 [TABLES][4], or 0 when all are zero. Writes rows of `kind` to `out`, without gaps.
 * False as soon as the stream or the raw bits are known to be damaged; reads at most a row beyond their ends.
 */
export function decodeRows(
  rows: u32, columns: u32, rowContexts: usize, rowSteps: usize, columnContexts: usize, columnSteps: usize, states: usize,
  tables: usize, indices: usize, slots: usize, shrinks: usize, kind: u32, out: usize, streamEnd: usize, rawEnd: usize,
): bool {
  const rowBytes = columns << (kind == F32 ? 2 : 1);
  for (let i: u32 = 0; i < rows; i++, out += rowBytes) {
    chooseTables(load<i16>(rowContexts + (i << 1)), columns, columnContexts, states, tables);
    decodeRow(columns, tables, slots, indices);
    if (!usable || input > streamEnd || rawBase + ((rawBit + 7) >> 3) > rawEnd) return false;
    moveStates(columns, indices, states);
    if (kind == INDICES) memory.copy(out, indices, rowBytes);
    else writeValues(columns, indices, tables, shrinks, load<f32>(rowSteps + (i << 2)), columnSteps, kind, out);
  }
  return true;
}

// ---- values --------------------------------------------------------------------------------------------------------------

const places: usize = memory.data(16, 16);

/** sign(k) * (|level| - shrink) * rowStep * columnStep in float32, in that order; then rounded to the kind of element. */
function writeValues(columns: u32, indices: usize, tables: usize, shrinks: usize, rowStep: f32, columnSteps: usize, kind: u32, out: usize): void {
  const step = f32x4.splat(rowStep), zero = i16x8.splat(0), one = i16x8.splat(1), three = i16x8.splat(3);
  for (let j: u32 = 0; j < columns; j += 8) {
    const k = v128.load(indices + (j << 1));
    const table = v128.load8x8_u(tables + j);
    const magnitude = i16x8.abs(k);
    const odd = v128.and(i16x8.ne(k, zero), v128.and(table, one));
    const levels = i16x8.sub(i16x8.shl(magnitude, 1), odd);
    let low = f32x4.convert_i32x4_u(i32x4.extend_low_i16x8_u(levels));
    let high = f32x4.convert_i32x4_u(i32x4.extend_high_i16x8_u(levels));
    if (shrinks) {
      v128.store(places, i16x8.shl(i16x8.add(i16x8.shl(table, 2), i16x8.min_s(magnitude, three)), 2));
      low = f32x4.sub(low, gather(shrinks, places));
      high = f32x4.sub(high, gather(shrinks, places + 8));
    }
    const sign = v128.and(k, i16x8.splat(-32768));
    low = v128.xor(low, i32x4.shl(i32x4.extend_low_i16x8_u(sign), 16));
    high = v128.xor(high, i32x4.shl(i32x4.extend_high_i16x8_u(sign), 16));
    low = f32x4.mul(f32x4.mul(low, step), v128.load(columnSteps + (j << 2)));
    high = f32x4.mul(f32x4.mul(high, step), v128.load(columnSteps + (j << 2), 16));
    if (kind == F32) {
      v128.store(out + (j << 2), low);
      v128.store(out + (j << 2), high, 16);
    } else if (kind == F16) v128.store(out + (j << 1), i16x8.narrow_i32x4_u(toHalf(low), toHalf(high)));
    else v128.store(out + (j << 1), i16x8.narrow_i32x4_u(toBrain(low), toBrain(high)));
  }
}

/** Four f32 at byte offsets (u16) from `base`. */
// @ts-ignore: decorator
@inline
function gather(base: usize, offsets: usize): v128 {
  let four = v128.load32_zero(base + <usize>load<u16>(offsets));
  four = v128.load32_lane(base + <usize>load<u16>(offsets, 2), four, 1);
  four = v128.load32_lane(base + <usize>load<u16>(offsets, 4), four, 2);
  return v128.load32_lane(base + <usize>load<u16>(offsets, 6), four, 3);
}

/** float32 to float16 in the low halves, to nearest, ties to even; what overflows becomes the largest finite number. */
// @ts-ignore: decorator
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

/** float32 to bfloat16, likewise. */
// @ts-ignore: decorator
@inline
function toBrain(x: v128): v128 {
  const magnitude = v128.and(x, i32x4.splat(0x7fffffff));
  const tie = v128.and(i32x4.shr_u(magnitude, 16), i32x4.splat(1));
  const rounded = i32x4.shr_u(i32x4.add(i32x4.add(magnitude, tie), i32x4.splat(0x7fff)), 16);
  return v128.or(i32x4.min_s(rounded, i32x4.splat(0x7f7f)), i32x4.shl(i32x4.shr_u(x, 31), 15));
}

// ---- encoding: forwards to find every weight's table, token and raw bits; then backwards through rANS -------------------------

let output: usize = 0;

/** Begins raw bits at `raw`, with `bits` (0-7) of its first byte already there. */
export function startRaw(raw: usize, bits: u32): void {
  rawBase = raw;
  rawBit = bits;
}

/** Raw bits since `startRaw`, those already there included. */
export function rawLengthBits(): u32 { return rawBit; }

// @ts-ignore: decorator
@inline
function writeRaw(value: u32, bits: u32): void {
  const at = rawBase + (rawBit >> 3), filled = rawBit & 7;
  store<u32>(at, (<u32>load<u8>(at) & ((1 << filled) - 1)) | (value << filled));
  rawBit += bits;
}

/**
 * Finds tables (u8) and tokens (u8, from -64) of rows of i16 `indices`, writes raw bits, moves `states`.
 * A token that `encoder` does not hold becomes an escape. False when there is none of that either, or an index is beyond 1023.
 */
export function tokenize(
  rows: u32, columns: u32, rowContexts: usize, columnContexts: usize, states: usize, encoder: usize, indices: usize,
  tables: usize, tokens: usize,
): bool {
  let missing: u32 = 0;
  for (let i: u32 = 0; i < rows; i++) {
    chooseTables(load<i16>(rowContexts + (i << 1)), columns, columnContexts, states, tables);
    for (let j: u32 = 0; j < columns; j++) {
      const k = <i32>load<i16>(indices + (j << 1));
      const magnitude = <u32>abs(k);
      missing |= magnitude >> 10;
      const size = magnitudeToken(magnitude & 1023);
      const token = (k < 0 ? -<i32>size : <i32>size) - ESCAPE;
      const table = encoder + (<usize>load<u8>(tables + j) << (TOKEN_BITS + 4));
      const known = load<u64>(table + (token << 4)) != 0;
      store<u8>(tokens + j, <u8>(known ? token : 0));
      if (!known) {
        missing |= <u32>(load<u64>(table) == 0);
        writeRaw(token, TOKEN_BITS);
      }
      const bits = rawBitsOf(size);
      if (bits) writeRaw(magnitude & ((1 << bits) - 1), bits);
    }
    moveStates(columns, indices, states);
    indices += columns << 1;
    tables += columns;
    tokens += columns;
  }
  return !missing;
}

/** Begins a stream, from its end. */
export function startEncoding(): void {
  stateA = stateB = stateC = stateD = LOWEST_STATE;
}

// @ts-ignore: decorator
@inline
function put(state: u32, entry: usize): u32 {
  // Without a branch, which would be mispredicted every few symbols: the store is kept or overwritten.
  const full = <u32>(state >= load<u32>(entry + 8));
  store<u16>(output - 2, <u16>state);
  output -= full << 1;
  state = select<u32>(state >> 16, state, full);
  const quotient = <u32>(((<u64>state) * load<u64>(entry)) >> RECIPROCAL_BITS);
  return state + load<u16>(entry + 12) + quotient * load<u16>(entry + 14);
}

// @ts-ignore: decorator
@inline
function entryOf(encoder: usize, table: u32, token: u32): usize {
  return encoder + (<usize>((table << TOKEN_BITS) | token) << 4);
}

/** Encodes rows of tables and tokens, the last first. Writes down from `end`; returns where the words start. */
export function encodeRows(rows: u32, columns: u32, tables: usize, tokens: usize, encoder: usize, end: usize): usize {
  output = end;
  let a = stateA, b = stateB, c = stateC, d = stateD;
  const whole = columns & ~3;
  for (let row = rows; row > 0; row--) {
    const table = tables + (row - 1) * columns, token = tokens + (row - 1) * columns;
    if (columns > whole + 2) c = put(c, entryOf(encoder, load<u8>(table + whole, 2), load<u8>(token + whole, 2)));
    if (columns > whole + 1) b = put(b, entryOf(encoder, load<u8>(table + whole, 1), load<u8>(token + whole, 1)));
    if (columns > whole) a = put(a, entryOf(encoder, load<u8>(table + whole), load<u8>(token + whole)));
    for (let j = whole; j > 0; j -= 4) {
      const t = load<u32>(table + j - 4), s = load<u32>(token + j - 4);
      d = put(d, entryOf(encoder, t >> 24, s >> 24));
      c = put(c, entryOf(encoder, (t >> 16) & 0xff, (s >> 16) & 0xff));
      b = put(b, entryOf(encoder, (t >> 8) & 0xff, (s >> 8) & 0xff));
      a = put(a, entryOf(encoder, t & 0xff, s & 0xff));
    }
  }
  stateA = a;
  stateB = b;
  stateC = c;
  stateD = d;
  return output;
}

/** Puts the four states before what starts at `start`; returns where the stream starts. */
export function finishEncoding(start: usize): usize {
  store<u32>(start - 16, stateA);
  store<u32>(start - 12, stateB);
  store<u32>(start - 8, stateC);
  store<u32>(start - 4, stateD);
  return start - 16;
}

/** Where the caller's buffers may begin. */
export function heapBase(): usize {
  return __heap_base;
}
