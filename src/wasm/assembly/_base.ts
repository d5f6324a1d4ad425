// Elements as differences from those of a base. The ordinal of an element is its place in the order of its type's values: that of a
// float is its bit pattern with all bits inverted if it is negative, else with its sign inverted; that of an integer is its bit pattern.
// A difference is one of ordinals, modulo 2^(8 width). Its class follows from the exponent of the base's element, so the decoder knows
// it, and each class has a table. docs/lossless.md, "Against a base".
import {
  DIFFERENCE_CENTER as CENTER, DIFFERENCE_ESCAPE as ESCAPE, DIFFERENCE_SCALE_BITS as SCALE_BITS, DIFFERENCE_ZERO as ZERO,
  ENCODER_ENTRY_BYTES,
} from '../constants';
import {
  endedAt as streamEndedAt, finishEncoding, input, LOWEST_STATE, put, refill, saveStates, setInput, setOutput, setState, startDecoding as startStream,
  startEncoding, stateA, stateB, stateC, stateD, stateOf, writeEntry,
} from './_rans';
import {
  buildWideEncoder, encodeWide, input as wideInput, refill as refillVector, setInput as setWideInput, startWideDecoding, states, STATES_BYTES,
  wideEndedAt, wordBytes,
} from './_wide';

// Buffers: the base's elements; of each sign and exponent, the class, its low bits, and its decoder's table; the tables of all classes;
// and, while classes are chosen, differences by class and the next place of each class in each quarter.
export let base: usize = 0, baseClasses: usize = 0, baseLows: usize = 0, baseDecoders: usize = 0, baseTables: usize = 0, baseDifferences: usize = 0, basePlaces: usize = 0;

/** Returns all ones for a pattern with the sign bit set, else zero. */
@inline
function signsOf<T>(pattern: T): T {
  return <T>(signed<T>(pattern) >> 31);
}

@inline
function ordinalOf<T>(pattern: T, isFloat: bool): T {
  const sign = <T>(<T>1 << <T>(sizeof<T>() * 8 - 1));
  return isFloat ? <T>(pattern ^ (signsOf<T>(pattern) | sign)) : pattern;
}

@inline
function patternOf<T>(ordinal: T, isFloat: bool): T {
  const sign = <T>(<T>1 << <T>(sizeof<T>() * 8 - 1));
  return isFloat ? <T>(ordinal ^ (~signsOf<T>(ordinal) | sign)) : ordinal;
}

/** Sign-extends a difference or a pattern. */
@inline
function signed<T>(value: T): i32 {
  return sizeof<T>() == 1 ? <i32><i8>value : sizeof<T>() == 2 ? <i32><i16>value : <i32>value;
}

// The elements are cut into four quarters, the last of which has the rest. A loop works on all of them in turn, each with places of its own:
// with one place for each class, every element would wait for the one before it.
const QUARTER_BYTES: usize = 1 << 10;

@inline
function placeOf<T>(pattern: T, ordinals: usize, place: usize, shift: u32): usize {
  return place + ((<usize>load<u8>(ordinals + (<u32>pattern >> shift))) << 2);
}

@inline
function countOne<T>(from: usize, ordinals: usize, place: usize, shift: u32): void {
  const to = placeOf<T>(load<T>(from), ordinals, place, shift);
  store<u32>(to, load<u32>(to) + 1);
}

@inline
function countClassesOf<T>(count: u32, shift: u32): void {
  const ordinals = baseClasses, place = basePlaces, quarter = <usize>(count >> 2) * sizeof<T>();
  const end = base + quarter;
  let at = base;
  for (; at < end; at += sizeof<T>()) {
    countOne<T>(at, ordinals, place, shift);
    countOne<T>(at + quarter, ordinals, place + QUARTER_BYTES, shift);
    countOne<T>(at + 2 * quarter, ordinals, place + 2 * QUARTER_BYTES, shift);
    countOne<T>(at + 3 * quarter, ordinals, place + 3 * QUARTER_BYTES, shift);
  }
  const stop = base + <usize>count * sizeof<T>();
  for (at += 3 * quarter; at < stop; at += sizeof<T>()) countOne<T>(at, ordinals, place + 3 * QUARTER_BYTES, shift);
}

/** Adds to `places` the number of elements of each class in each quarter. `shift` leaves exponent and sign of an element. */
export function countBaseClasses(count: u32, width: u32, shift: u32): void {
  if (width == 1) countClassesOf<u8>(count, shift);
  else if (width == 2) countClassesOf<u16>(count, shift);
  else countClassesOf<u32>(count, shift);
}

@inline
function subtractOne<T>(at: usize, offset: isize, ordinals: usize, place: usize, to: usize, isFloat: bool, shift: u32): void {
  const known = load<T>(at), own = placeOf<T>(known, ordinals, place, shift), index = <usize>load<u32>(own);
  store<T>(to + index * sizeof<T>(), <T>(ordinalOf<T>(load<T>(at + offset), isFloat) - ordinalOf<T>(known, isFloat)));
  store<u32>(own, <u32>index + 1);
}

@inline
function subtractOf<T>(from: usize, count: u32, isFloat: bool, shift: u32): void {
  const ordinals = baseClasses, place = basePlaces, to = baseDifferences, offset = <isize>(from - base), quarter = <usize>(count >> 2) * sizeof<T>();
  const end = base + quarter;
  let at = base;
  for (; at < end; at += sizeof<T>()) {
    subtractOne<T>(at, offset, ordinals, place, to, isFloat, shift);
    subtractOne<T>(at + quarter, offset, ordinals, place + QUARTER_BYTES, to, isFloat, shift);
    subtractOne<T>(at + 2 * quarter, offset, ordinals, place + 2 * QUARTER_BYTES, to, isFloat, shift);
    subtractOne<T>(at + 3 * quarter, offset, ordinals, place + 3 * QUARTER_BYTES, to, isFloat, shift);
  }
  const stop = base + <usize>count * sizeof<T>();
  for (at += 3 * quarter; at < stop; at += sizeof<T>()) subtractOne<T>(at, offset, ordinals, place + 3 * QUARTER_BYTES, to, isFloat, shift);
}

/** Writes the differences of `count` elements at `from` from the base, by class: those of a class and quarter from its place on, which moves behind them. */
export function subtractBase(from: usize, count: u32, width: u32, isFloat: bool, shift: u32): void {
  if (width == 1) subtractOf<u8>(from, count, isFloat, shift);
  else if (width == 2) subtractOf<u16>(from, count, isFloat, shift);
  else subtractOf<u32>(from, count, isFloat, shift);
}

/** Returns a difference, sign-extended. */
@inline
function differenceAt(index: u32, width: u32): i32 {
  if (width == 1) return load<i8>(baseDifferences + <usize>index);
  if (width == 2) return load<i16>(baseDifferences + (<usize>index << 1));
  return load<i32>(baseDifferences + (<usize>index << 2));
}

/** Returns the sum of the magnitudes of `count` differences from `first` on. */
export function sumBaseDifferences(first: u32, count: u32, width: u32): f64 {
  let sum: u64 = 0;
  for (let i = first; i < first + count; i++) {
    const d = <i64>differenceAt(i, width);
    sum += <u64>(d < 0 ? -d : d);
  }
  return <f64>sum;
}

/** Largest magnitude that has a bin of its own while classes are chosen. */
const FINE: i32 = 1 << 12;

/** Counts `count` differences from `first` on, without `low` bits, into bins of -FINE + 1 to FINE - 1; all others into bin 0. */
export function countBaseDifferences(bins: usize, first: u32, count: u32, width: u32, low: u32): void {
  for (let i = first; i < first + count; i++) {
    const symbol = (differenceAt(i, width) >> low) + FINE;
    const bin = bins + (<usize>(<u32>symbol < <u32>(2 * FINE) ? symbol : 0) << 2);
    store<u32>(bin, load<u32>(bin) + 1);
  }
}

/** Returns the number of zeros among `count` differences from `first` on. */
export function countBaseZeros(first: u32, count: u32, width: u32): u32 {
  let zeros: u32 = 0;
  for (let i = first; i < first + count; i++) zeros += <u32>(differenceAt(i, width) == 0);
  return zeros;
}

// ---- coding: symbols of 8 bits, frequencies of 12 ------------------------------------------------------------------------

// The next bit of low bits, and the next escape.
let lowAt: usize = 0, lowBit: u32 = 0, escapeAt: usize = 0;

/** Sets where low bits and escapes begin. */
export function setBaseBits(low: usize, escapes: usize): void {
  lowAt = low;
  lowBit = 0;
  escapeAt = escapes;
}

/** Returns the address behind the last low bits. */
export function baseLowBitsEnd(): usize {
  return lowAt + ((lowBit + 7) >> 3);
}

/** Returns the address behind the last escape. */
export function baseEscapesEnd(): usize {
  return escapeAt;
}

/** Fills the encoder's table of a class from 256 u32 `frequencies`, for a stream of four or of 32 states. */
export function buildBaseEncoder(ordinal: u32, frequencies: usize, isWide: bool): void {
  const table = baseTables + <usize>(ordinal << 8) * ENCODER_ENTRY_BYTES;
  if (isWide) return buildWideEncoder(256, frequencies, table, SCALE_BITS);
  let start: u32 = 0;
  for (let s: usize = 0; s < 256; s++) {
    const frequency = load<u32>(frequencies + (s << 2));
    writeEntry(table + s * ENCODER_ENTRY_BYTES, frequency, start, SCALE_BITS);
    start += frequency;
  }
}

@inline
function splitOf<T>(from: usize, symbols: usize, count: u32, isFloat: bool, shift: u32): void {
  const knowns = base, ofExponent = baseClasses, lowOf = baseLows, table = baseTables, lowBits = lowAt;
  let bit = lowBit, escape = escapeAt;
  for (let i: usize = 0; i < <usize>count; i++) {
    const known = load<T>(knowns + i * sizeof<T>());
    const d = signed<T>(<T>(ordinalOf<T>(load<T>(from + i * sizeof<T>()), isFloat) - ordinalOf<T>(known, isFloat)));
    const ordinal = <u32>load<u8>(ofExponent + (<u32>known >> shift)), low = <u32>load<u8>(lowOf + (<u32>known >> shift));
    let symbol: u32 = <u32>((d >> low) + CENTER);
    symbol = select<u32>(symbol, ESCAPE, symbol < <u32>ZERO);
    symbol = select<u32>(ZERO, symbol, <u32>(low != 0) & <u32>(d == 0));
    if (!load<u64>(table + <usize>((ordinal << 8) | symbol) * ENCODER_ENTRY_BYTES)) symbol = ESCAPE; // it is too rare to have a frequency
    store<u16>(symbols + (i << 1), <u16>((ordinal << 8) | symbol));
    if (symbol == ESCAPE) {
      store<T>(escape, <T>d);
      escape += sizeof<T>();
    } else if (low && symbol != ZERO) {
      const at = lowBits + (bit >> 3);
      store<u64>(at, load<u64>(at) | ((<u64>(<u32>d & ((<u32>1 << low) - 1))) << (bit & 7)));
      bit += low;
    }
  }
  lowBit = bit;
  escapeAt = escape;
}

/** Writes class and symbol of each difference to u16 `symbols`, low bits to zeroed memory, and escapes whole. */
export function splitFromBase(from: usize, symbols: usize, count: u32, width: u32, isFloat: bool, shift: u32): void {
  if (width == 1) splitOf<u8>(from, symbols, count, isFloat, shift);
  else if (width == 2) splitOf<u16>(from, symbols, count, isFloat, shift);
  else splitOf<u32>(from, symbols, count, isFloat, shift);
}

@inline
function putSymbol(state: u32, table: usize, symbol: u64): u32 {
  return put(state, table + (<usize>symbol & 0xffff) * ENCODER_ENTRY_BYTES, SCALE_BITS);
}

/** Encodes `count` symbols with their classes from the last to the first. Writes downwards from `end`; returns the start of the stream. */
export function encodeFromBase(symbols: usize, count: u32, end: usize, isWide: bool): usize {
  if (isWide) return encodeWide(count, end, symbols, baseTables, SCALE_BITS);
  startEncoding();
  setOutput(end);
  let a = stateA, b = stateB, c = stateC, d = stateD;
  let i = count & ~3;
  const table = baseTables, rest = symbols + (i << 1);
  if (count > i + 2) c = putSymbol(c, table, load<u16>(rest, 4));
  if (count > i + 1) b = putSymbol(b, table, load<u16>(rest, 2));
  if (count > i) a = putSymbol(a, table, load<u16>(rest));
  for (; i > 0; i -= 4) {
    const four = load<u64>(symbols + ((i - 4) << 1));
    d = putSymbol(d, table, four >> 48);
    c = putSymbol(c, table, four >> 32);
    b = putSymbol(b, table, four >> 16);
    a = putSymbol(a, table, four);
  }
  saveStates(a, b, c, d);
  return finishEncoding();
}

/** Fills the decoder's table at `to` from 256 u32 `frequencies`: of each slot frequency (12 bits), offset (12 bits) and symbol (8 bits), from the lowest bit on. */
export function buildBaseDecoder(to: usize, frequencies: usize): void {
  for (let s: u32 = 0; s < 256; s++) {
    const frequency = load<u32>(frequencies + (s << 2));
    const end = to + (frequency << 2), step = i32x4.splat(4 << 12);
    let four = i32x4.add(i32x4.splat(frequency | (s << 24)), i32x4(0, 1 << 12, 2 << 12, 3 << 12));
    for (let at = to; at < end; at += 16) { // what is written past the end is written over, but for the padding behind the tables
      v128.store(at, four);
      four = i32x4.add(four, step);
    }
    to = end;
  }
}

/** Returns the entry of a state's slot in the table of a base's element. */
@inline
function entryOf(pattern: u32, state: u32, ofExponent: usize, shift: u32): u32 {
  return load<u32>(<usize>load<u32>(ofExponent + (<usize>(pattern >> shift) << 2)) + (<usize>(state & ((1 << SCALE_BITS) - 1)) << 2));
}

@inline
function nextState(state: u32, entry: u32): u32 {
  return (entry & 0xfff) * (state >> SCALE_BITS) + ((entry >> 12) & 0xfff);
}

@inline
function isLow(state: u32): u32 {
  return <u32>(state < LOWEST_STATE);
}

/**
 * Decodes the symbols of `count` elements from `first` on, to bytes.
 * The next word's address is a local variable: as a global it would be in memory, and every state would wait for the one before.
 */
@inline
function decodeSymbolsOf<T>(to: usize, first: u32, count: u32, shift: u32): void {
  const step = sizeof<T>(), ofExponent = baseDecoders;
  let a = stateA, b = stateB, c = stateC, d = stateD, word = input;
  let from = base + <usize>first * step;
  for (const stop = from + <usize>(count & ~3) * step; from < stop; from += 4 * step, to += 4) {
    const entryA = entryOf(load<T>(from), a, ofExponent, shift), entryB = entryOf(load<T>(from + step), b, ofExponent, shift);
    const entryC = entryOf(load<T>(from + 2 * step), c, ofExponent, shift), entryD = entryOf(load<T>(from + 3 * step), d, ofExponent, shift);
    store<u32>(to, (entryA >> 24) | ((entryB >> 24) << 8) | ((entryC >> 24) << 16) | ((entryD >> 24) << 24));
    a = nextState(a, entryA);
    b = nextState(b, entryB);
    c = nextState(c, entryC);
    d = nextState(d, entryD);
    const lowA = isLow(a), lowB = isLow(b), lowC = isLow(c), lowD = isLow(d);
    a = select<u32>((a << 16) | load<u16>(word), a, lowA);
    word += lowA << 1;
    b = select<u32>((b << 16) | load<u16>(word), b, lowB);
    word += lowB << 1;
    c = select<u32>((c << 16) | load<u16>(word), c, lowC);
    word += lowC << 1;
    d = select<u32>((d << 16) | load<u16>(word), d, lowD);
    word += lowD << 1;
  }
  saveStates(a, b, c, d);
  setInput(word);
  for (let lane: u32 = 0; lane < (count & 3); lane++, from += step, to++) {
    const state = stateOf(lane), entry = entryOf(load<T>(from), state, ofExponent, shift);
    store<u8>(to, <u8>(entry >> 24));
    setState(lane, refill(nextState(state, entry)));
  }
}

/** Loads the entries of four states, whose slots are `places` / 4. */
@inline
function fourEntries<T>(from: usize, basePlaces: v128, ofExponent: usize, shift: u32): v128 {
  const first = v128.load32_zero(tableOf<T>(from, ofExponent, shift) + i32x4.extract_lane(basePlaces, 0));
  const second = v128.load32_lane(tableOf<T>(from + sizeof<T>(), ofExponent, shift) + i32x4.extract_lane(basePlaces, 1), first, 1);
  const third = v128.load32_lane(tableOf<T>(from + 2 * sizeof<T>(), ofExponent, shift) + i32x4.extract_lane(basePlaces, 2), second, 2);
  return v128.load32_lane(tableOf<T>(from + 3 * sizeof<T>(), ofExponent, shift) + i32x4.extract_lane(basePlaces, 3), third, 3);
}

/** Returns the table of the class of a base's element. */
@inline
function tableOf<T>(from: usize, ofExponent: usize, shift: u32): usize {
  return <usize>load<u32>(ofExponent + (<usize>(<u32>load<T>(from) >> shift) << 2));
}

/** Returns states after their symbols, before renormalization. */
@inline
function advance(state: v128, entries: v128): v128 {
  const mask = i32x4.splat(0xfff);
  const product = i32x4.mul(v128.and(entries, mask), i32x4.shr_u(state, SCALE_BITS));
  return i32x4.add(product, v128.and(i32x4.shr_u(entries, 12), mask));
}

/** Does the same as decodeSymbolsOf for a stream of 32 states; count is a multiple of 32 except in the last call. */
@inline
function decodeWideSymbolsOf<T>(to: usize, first: u32, count: u32, shift: u32): void {
  const step = sizeof<T>(), ofExponent = baseDecoders;
  const slots = i32x4.splat((1 << SCALE_BITS) - 1), none = i32x4.splat(0);
  let word = wideInput, at: usize = 0, from = base + <usize>first * step;
  for (const stop = to + <usize>(count & ~31); to < stop; to += 8, from += 8 * step) {
    const s = v128.load(states + at), t = v128.load(states + at, 16);
    const entriesS = fourEntries<T>(from, i32x4.shl(v128.and(s, slots), 2), ofExponent, shift);
    const entriesT = fourEntries<T>(from + 4 * step, i32x4.shl(v128.and(t, slots), 2), ofExponent, shift);
    const eight = i16x8.narrow_i32x4_u(i32x4.shr_u(entriesS, 24), i32x4.shr_u(entriesT, 24));
    v128.store64_lane(to, i8x16.narrow_i16x8_u(eight, eight), 0);
    const nextS = advance(s, entriesS), nextT = advance(t, entriesT);
    const lowS = i32x4.eq(i32x4.shr_u(nextS, 16), none), lowT = i32x4.eq(i32x4.shr_u(nextT, 16), none);
    const maskS = <usize>i32x4.bitmask(lowS), maskT = <usize>i32x4.bitmask(lowT);
    v128.store(states + at, refillVector(nextS, lowS, maskS, word));
    word += <usize>load<u8>(wordBytes + maskS);
    v128.store(states + at, refillVector(nextT, lowT, maskT, word), 16);
    word += <usize>load<u8>(wordBytes + maskT);
    at = (at + 32) & (STATES_BYTES - 1);
  }
  for (let place = states; place < states + ((count & 31) << 2); place += 4, to++, from += step) {
    const state = load<u32>(place), entry = entryOf(load<T>(from), state, ofExponent, shift), next = nextState(state, entry);
    store<u8>(to, <u8>(entry >> 24));
    store<u32>(place, next < LOWEST_STATE ? (next << 16) | load<u16>(word) : next);
    word += isLow(next) << 1;
  }
  setWideInput(word);
}

/** Merges the symbol of element `index` with its low bits, or an escape, and adds the difference to the base. */
@inline
function mergeOne<T>(to: usize, symbol: u32, index: usize, isFloat: bool, shift: u32): void {
  const known = load<T>(base + index * sizeof<T>());
  let difference: T;
  if (symbol == ESCAPE) {
    difference = load<T>(escapeAt);
    escapeAt += sizeof<T>();
  } else {
    const low = <u32>load<u8>(baseLows + (<u32>known >> shift)), isZero = symbol == ZERO;
    const lowBits = <u32>(load<u64>(lowAt + (lowBit >> 3)) >> (lowBit & 7)) & ((<u32>1 << low) - 1);
    difference = <T>select<i32>(0, ((<i32>symbol - CENTER) << low) | <i32>lowBits, isZero);
    lowBit += select<u32>(0, low, isZero);
  }
  store<T>(to + index * sizeof<T>(), patternOf<T>(<T>(ordinalOf<T>(known, isFloat) + difference), isFloat));
}

/** Does so for `count` elements from `first` on. The next bit is a local variable, as most of them have low bits. */
@inline
function mergeOf<T>(to: usize, symbols: usize, first: usize, count: usize, isFloat: bool, shift: u32): void {
  const bits = lowAt, from = base, ofExponent = baseLows;
  let bit = lowBit;
  for (let i: usize = 0; i < count; i++) {
    const symbol = <u32>load<u8>(symbols + i), at = (first + i) * sizeof<T>(), known = load<T>(from + at);
    if (symbol == ESCAPE) {
      mergeOne<T>(to, symbol, first + i, isFloat, shift);
      continue;
    }
    const low = <u32>load<u8>(ofExponent + (<u32>known >> shift)), kept = <i32>(symbol == ZERO) - 1; // no branch: zeros come at random
    const lowBits = <u32>(load<u64>(bits + (bit >> 3)) >> (bit & 7)) & ((<u32>1 << low) - 1);
    const difference = <T>((((<i32>symbol - CENTER) << low) | <i32>lowBits) & kept);
    bit += low & <u32>kept;
    store<T>(to + at, patternOf<T>(<T>(ordinalOf<T>(known, isFloat) + difference), isFloat));
  }
  lowBit = bit;
}

/** Adds the differences of 8 symbols without low bits to elements of two bytes. */
@inline
function mergeEight(to: usize, symbols: v128, known: v128, isFloat: bool): void {
  const sign = i16x8.splat(<i16>0x8000), d = i16x8.sub(symbols, i16x8.splat(<i16>CENTER));
  if (!isFloat) return v128.store(to, i16x8.add(known, d));
  const ordinal = i16x8.add(v128.xor(known, v128.or(sign, i16x8.shr_s(known, 15))), d);
  v128.store(to, v128.xor(ordinal, v128.or(sign, v128.not(i16x8.shr_s(ordinal, 15)))));
}

/** So few of eight elements are merged one by one. */
const FEW: i32 = 3;

/** Does the same as mergeOf for elements of two bytes: eight at once, then again those that are escapes or have an exponent below `without`, from which on there are no low bits. */
function mergePairs(to: usize, symbols: usize, first: usize, count: usize, isFloat: bool, shift: u32, without: u32): void {
  const escape = i16x8.splat(<i16>ESCAPE), lowest = i16x8.splat(<i16>without), magnitude = i16x8.splat(0x7fff);
  const from = base + (first << 1), out = to + (first << 1);
  let i: usize = 0;
  for (; i + 8 <= count; i += 8) {
    const eight = v128.load8x8_u(symbols + i), known = v128.load(from + (i << 1));
    mergeEight(out + (i << 1), eight, known, isFloat);
    const exponents = i16x8.shr_u(v128.and(known, magnitude), shift);
    let others = i16x8.bitmask(v128.or(i16x8.eq(eight, escape), i16x8.lt_s(exponents, lowest)));
    if (popcnt(others) > FEW) mergeOf<u16>(to, symbols + i, first + i, 8, isFloat, shift);
    else for (; others; others &= others - 1) {
      const lane = <usize>ctz(others);
      mergeOne<u16>(to, load<u8>(symbols + i + lane), first + i + lane, isFloat, shift);
    }
  }
  mergeOf<u16>(to, symbols + i, first + i, count - i, isFloat, shift);
}

// Whether the stream that is being decoded has 32 states.
let wide: bool = false;

/** Starts decoding a stream of four or of 32 states. */
export function startFromBase(stream: usize, isWide: bool): void {
  wide = isWide;
  if (wide) startWideDecoding(stream);
  else startStream(stream);
}

/** Returns true when the stream was read exactly up to `end`. */
export function fromBaseEndedAt(end: usize): bool {
  return wide ? wideEndedAt(end) : streamEndedAt(end);
}

@inline
function symbolsOf<T>(to: usize, first: u32, count: u32, shift: u32): void {
  if (wide) decodeWideSymbolsOf<T>(to, first, count, shift);
  else decodeSymbolsOf<T>(to, first, count, shift);
}

/**
 * Decodes the next `count` elements, from `first` on (both a multiple of the states, but for the last call), to `to`, with `symbols` for the
 * time between. Classes from exponent `without` on have no low bits. Returns false when the stream is found to be damaged; it then reads at
 * most 2 * count + 8 bytes past its end.
 */
export function decodeFromBase(to: usize, symbols: usize, first: u32, count: u32, width: u32, isFloat: bool, shift: u32, without: u32, end: usize): bool {
  if (width == 1) {
    symbolsOf<u8>(symbols, first, count, shift);
    mergeOf<u8>(to, symbols, first, count, isFloat, shift);
  } else if (width == 2) {
    symbolsOf<u16>(symbols, first, count, shift);
    mergePairs(to, symbols, first, count, isFloat, shift, without);
  } else {
    symbolsOf<u32>(symbols, first, count, shift);
    mergeOf<u32>(to, symbols, first, count, isFloat, shift);
  }
  return (wide ? wideInput : input) <= end;
}
