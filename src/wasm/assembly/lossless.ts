// The inner loops of the lossless codec. docs/lossless.md has the mathematics, spec/wpk-v1.md the layouts.
// Pointers are byte offsets into the module's memory, which the caller lays out (src/wasm/lossless.ts).

// ---- rANS: 4 interleaved 32-bit states, 16-bit renormalization, frequencies of 14 bits ---------------------------

const SCALE_BITS: u32 = 14;
const SCALE: u32 = 1 << SCALE_BITS;
const LOWEST_STATE: u32 = 1 << 16;
const RECIPROCAL_BITS: u64 = 46;

/**
 * A symbol's encoder entry, 16 bytes: reciprocal u64, least state to renormalize u32, start u16, SCALE - frequency u16.
 * The reciprocal is ceil(2^46 / frequency). States are below 2^18 * frequency when they are divided, which makes the
 * product less than 2^64 and floor(x / frequency) exact (docs/lossless.md, "Entropy coder").
 */
export function buildEncoder(frequencies: usize, symbols: u32, table: usize): void {
  let start: u32 = 0;
  for (let s: u32 = 0; s < symbols; s++) {
    const frequency = load<u32>(frequencies + (s << 2));
    const entry = table + (s << 4);
    if (frequency) store<u64>(entry, (((<u64>1) << RECIPROCAL_BITS) + frequency - 1) / frequency);
    store<u32>(entry + 8, frequency << 18); // frequencies are below 2^14: a table of one symbol has no stream
    store<u16>(entry + 12, <u16>start);
    store<u16>(entry + 14, <u16>(SCALE - frequency));
    start += frequency;
  }
}

let output: usize = 0;

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

/**
 * Encodes `count` u16 symbols backwards so that they decode forwards; symbol i belongs to state i % 4.
 * `table` is indexed by symbol. Writes down from `end`; returns where the stream starts.
 */
export function encode(symbols: usize, count: u32, table: usize, end: usize): usize {
  output = end;
  let a = LOWEST_STATE, b = LOWEST_STATE, c = LOWEST_STATE, d = LOWEST_STATE;
  let i = count;
  const whole = count & ~3;
  if (i > whole + 2) { c = put(c, table + (<usize>load<u16>(symbols + ((whole + 2) << 1)) << 4)); }
  if (i > whole + 1) { b = put(b, table + (<usize>load<u16>(symbols + ((whole + 1) << 1)) << 4)); }
  if (i > whole) { a = put(a, table + (<usize>load<u16>(symbols + (whole << 1)) << 4)); }
  for (i = whole; i > 0; i -= 4) {
    const four = load<u64>(symbols + ((i - 4) << 1));
    d = put(d, table + (<usize>(four >> 48) << 4));
    c = put(c, table + (<usize>((four >> 32) & 0xffff) << 4));
    b = put(b, table + (<usize>((four >> 16) & 0xffff) << 4));
    a = put(a, table + (<usize>(four & 0xffff) << 4));
  }
  output -= 16;
  store<u32>(output, a);
  store<u32>(output, b, 4);
  store<u32>(output, c, 8);
  store<u32>(output, d, 12);
  return output;
}

/**
 * `slots`: SCALE u16, the ordinal of the symbol that owns each slot. `entries`: a u64 per ordinal: frequency,
 * start, value (16 bits each). `values`: the u16 that each ordinal stands for.
 */
export function buildDecoder(frequencies: usize, values: usize, symbols: u32, slots: usize, entries: usize): void {
  let start: u32 = 0;
  for (let s: u32 = 0; s < symbols; s++) {
    const frequency = load<u32>(frequencies + (s << 2));
    const value = load<u16>(values + (s << 1));
    store<u64>(entries + (s << 3), <u64>frequency | ((<u64>start) << 16) | ((<u64>value) << 32));
    for (let i: u32 = 0; i < frequency; i++) store<u16>(slots + ((start + i) << 1), <u16>s);
    start += frequency;
  }
}

let input: usize = 0;
let stateA: u32 = 0, stateB: u32 = 0, stateC: u32 = 0, stateD: u32 = 0;

/** Reads the four states at the head of a stream. */
export function startDecoding(stream: usize): void {
  stateA = load<u32>(stream);
  stateB = load<u32>(stream, 4);
  stateC = load<u32>(stream, 8);
  stateD = load<u32>(stream, 12);
  input = stream + 16;
}

/** True when a whole stream was consumed up to `end` and every state is back where the encoder began. */
export function endedAt(end: usize): bool {
  return input == end && stateA == LOWEST_STATE && stateB == LOWEST_STATE && stateC == LOWEST_STATE && stateD == LOWEST_STATE;
}

/**
 * Decodes the next `count` values (a multiple of 4 except in the last call) to u16 at `out`.
 * Reads at most 2 * count bytes beyond the stream's end when the stream is damaged; false then, as soon as it is known.
 */
export function decode(count: u32, slots: usize, entries: usize, out: usize, end: usize): bool {
  let a = stateA, b = stateB, c = stateC, d = stateD, at = input;
  const stop = out + ((count & ~3) << 1);
  for (; out < stop; out += 8) {
    const slotA = a & (SCALE - 1), slotB = b & (SCALE - 1), slotC = c & (SCALE - 1), slotD = d & (SCALE - 1);
    const entryA = load<u64>(entries + (<usize>load<u16>(slots + (slotA << 1)) << 3));
    const entryB = load<u64>(entries + (<usize>load<u16>(slots + (slotB << 1)) << 3));
    const entryC = load<u64>(entries + (<usize>load<u16>(slots + (slotC << 1)) << 3));
    const entryD = load<u64>(entries + (<usize>load<u16>(slots + (slotD << 1)) << 3));
    a = (<u32>entryA & 0xffff) * (a >> SCALE_BITS) + slotA - (<u32>entryA >> 16);
    b = (<u32>entryB & 0xffff) * (b >> SCALE_BITS) + slotB - (<u32>entryB >> 16);
    c = (<u32>entryC & 0xffff) * (c >> SCALE_BITS) + slotC - (<u32>entryC >> 16);
    d = (<u32>entryD & 0xffff) * (d >> SCALE_BITS) + slotD - (<u32>entryD >> 16);
    store<u64>(out, (entryA >> 32) | ((entryB >> 32) << 16) | ((entryC >> 32) << 32) | ((entryD >> 32) << 48));
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
  }
  for (let i: u32 = 0; i < (count & 3); i++) {
    const state = i == 0 ? a : i == 1 ? b : c;
    const slot = state & (SCALE - 1);
    const entry = load<u64>(entries + (<usize>load<u16>(slots + (slot << 1)) << 3));
    let next = (<u32>entry & 0xffff) * (state >> SCALE_BITS) + slot - (<u32>entry >> 16);
    store<u16>(out + (i << 1), <u16>(entry >> 32));
    if (next < LOWEST_STATE) {
      next = (next << 16) | load<u16>(at);
      at += 2;
    }
    if (i == 0) a = next;
    else if (i == 1) b = next;
    else c = next;
  }
  stateA = a;
  stateB = b;
  stateC = c;
  stateD = d;
  input = at;
  return at <= end;
}

// ---- floats: a head of 16 bits (sign, exponent, top of the mantissa) and a tail --------------------------------------

/** Counts the heads of `count` elements, without their last `shift` bits, into u32 `bins`; returns the OR of all elements. Width: 2, 4 or 8 bytes. */
export function countHeads(elements: usize, count: u32, width: u32, shift: u32, bins: usize): u64 {
  let seen: u64 = 0;
  memory.fill(bins, 0, (65536 * 4) >> shift);
  const end = elements + count * width;
  if (width == 2) for (let at = elements; at < end; at += 2) { const x: u32 = load<u16>(at); seen |= x; bump(bins, x >> shift); }
  else if (width == 4) for (let at = elements; at < end; at += 4) { const x = load<u32>(at); seen |= x; bump(bins, x >> (16 + shift)); }
  else for (let at = elements; at < end; at += 8) { const x = load<u64>(at); seen |= x; bump(bins, <u32>(x >> (48 + shift))); }
  return seen;
}

/** Counts bytes `plane` of `count` elements of `width` bytes into 256 u32 `bins`, and writes them as u16 symbols. */
export function splitPlane(elements: usize, count: u32, width: u32, plane: u32, symbols: usize, bins: usize): void {
  memory.fill(bins, 0, 256 * 4);
  for (let i: u32 = 0; i < count; i++) {
    const x = load<u8>(elements + i * width + plane);
    store<u16>(symbols + (i << 1), x);
    bump(bins, x);
  }
}

/** The other way: u16 symbols to bytes `plane` of elements. */
export function mergePlane(symbols: usize, count: u32, width: u32, plane: u32, elements: usize): void {
  for (let i: u32 = 0; i < count; i++) store<u8>(elements + i * width + plane, load<u8>(symbols + (i << 1)));
}

// @ts-ignore: decorator
@inline
function bump(bins: usize, bin: u32): void {
  const at = bins + (bin << 2);
  store<u32>(at, load<u32>(at) + 1);
}

// @ts-ignore: decorator
@inline
function lowMask(bits: u32): u64 {
  return ((<u64>1) << bits) - 1;
}

/** Puts `bits` (at most 48) of `value` at bit `at` of zeroed memory. */
// @ts-ignore: decorator
@inline
function pack(base: usize, at: u32, value: u64): void {
  const address = base + (at >> 3);
  store<u64>(address, load<u64>(address) | (value << (at & 7)));
}

/**
 * Splits elements into symbols and two packed planes. A head is sign | symbol bits | `low` bits, of which the last
 * `zeros` are zero in every element and not stored; the tail's stored bits are its top `tailBits`.
 * signed: the sign is part of the symbol; else it is the top bit of the head's raw bits.
 * Planes: element i's field of b bits starts at bit b * i, least significant first.
 */
export function splitFloats(elements: usize, count: u32, width: u32, low: u32, zeros: u32, signed: bool, tailBits: u32, symbols: usize, heads: usize, tails: usize): void {
  const tailWidth = (width << 3) - 16;
  const kept = low - zeros;
  const headBits = kept + <u32>!signed;
  let i: u32 = 0;
  if (!signed && headBits <= 8 && (width == 2 || (width == 4 && tailBits % 16 == 0))) {
    const weights = i32x4.splat(<i32>(1 | (1 << (16 + headBits)))); // a pair of fields side by side: x + y * 2^headBits
    const keptMask = i16x8.splat(<i16>lowMask(kept));
    const unsigned = i16x8.splat(0x7fff);
    for (; i + 8 <= count; i += 8) {
      let head: v128;
      if (width == 2) head = v128.load(elements + (i << 1));
      else {
        const first = v128.load(elements + (i << 2)), second = v128.load(elements + (i << 2), 16);
        head = v128.shuffle<u8>(first, second, 2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31);
        if (tailBits) v128.store(tails + (i << 1), v128.shuffle<u8>(first, second, 0, 1, 4, 5, 8, 9, 12, 13, 16, 17, 20, 21, 24, 25, 28, 29));
      }
      v128.store(symbols + (i << 1), i16x8.shr_u(v128.and(head, unsigned), low));
      const raw = v128.or(v128.and(i16x8.shr_u(head, zeros), keptMask), i16x8.shl(i16x8.shr_u(head, 15), kept));
      const two = i32x4.dot_i16x8_s(raw, weights);
      const packed = <u64>i32x4.extract_lane(two, 0) | (<u64>i32x4.extract_lane(two, 1) << (headBits * 2)) | (<u64>i32x4.extract_lane(two, 2) << (headBits * 4)) | (<u64>i32x4.extract_lane(two, 3) << (headBits * 6));
      store<u64>(heads + (i >> 3) * headBits, packed);
    }
  }
  // what remains is packed by OR into zeroes
  memory.fill(heads + (i >> 3) * headBits, 0, ((count + 7 - i) >> 3) * headBits + 8);
  memory.fill(tails + (i >> 3) * tailBits, 0, ((count + 7 - i) >> 3) * tailBits + 8);
  for (; i < count; i++) {
    const x: u64 = width == 2 ? load<u16>(elements + (i << 1)) : width == 4 ? load<u32>(elements + (i << 2)) : load<u64>(elements + (i << 3));
    const head = <u32>(x >> tailWidth);
    store<u16>(symbols + (i << 1), <u16>((signed ? head : head & 0x7fff) >> low));
    let raw = (head >> zeros) & <u32>lowMask(kept);
    if (!signed) raw |= (head >> 15) << kept;
    if (headBits) pack(heads, i * headBits, raw);
    if (tailBits) pack(tails, i * tailBits, (x & lowMask(tailWidth)) >> (tailWidth - tailBits));
  }
}

/**
 * Undoes splitFloats. `values`: the decoded symbols, already shifted left by `low`, for elements from `first` (a
 * multiple of 8) to `first + count`.
 */
export function mergeFloats(values: usize, first: u32, count: u32, width: u32, low: u32, zeros: u32, signed: bool, tailBits: u32, heads: usize, tails: usize, elements: usize): void {
  const tailWidth = (width << 3) - 16;
  const kept = low - zeros;
  const headBits = kept + <u32>!signed;
  let i: u32 = 0;
  if (!signed && headBits <= 8 && (width == 2 || (width == 4 && tailBits % 16 == 0))) {
    let gather = i8x16.splat(0), scale = i16x8.splat(0);
    for (let lane: u32 = 0; lane < 8; lane++) {
      // lane's field lies in the 16 bits from byte (lane * headBits) / 8; a multiplication moves it to the top
      const bit = lane * headBits;
      store<u8>(scratch + lane * 2, <u8>(bit >> 3));
      store<u8>(scratch + lane * 2 + 1, <u8>((bit >> 3) + 1));
      store<u16>(scratch + 16 + lane * 2, <u16>(<u32>1 << (16 - headBits - (bit & 7))));
    }
    gather = v128.load(scratch);
    scale = v128.load(scratch + 16);
    const keptMask = i16x8.splat(<i16>lowMask(kept));
    for (; i + 8 <= count; i += 8) {
      const group = v128.load64_zero(heads + ((first + i) >> 3) * headBits);
      const raw = i16x8.shr_u(i16x8.mul(i8x16.swizzle(group, gather), scale), 16 - headBits);
      const head = v128.or(
        v128.or(v128.load(values + (i << 1)), i16x8.shl(v128.and(raw, keptMask), zeros)),
        i16x8.shl(i16x8.shr_u(raw, kept), 15),
      );
      if (width == 2) v128.store(elements + ((first + i) << 1), head);
      else {
        const tail = tailBits ? v128.load(tails + ((first + i) << 1)) : i16x8.splat(0);
        const at = elements + ((first + i) << 2);
        v128.store(at, v128.shuffle<u8>(tail, head, 0, 1, 16, 17, 2, 3, 18, 19, 4, 5, 20, 21, 6, 7, 22, 23));
        v128.store(at, v128.shuffle<u8>(tail, head, 8, 9, 24, 25, 10, 11, 26, 27, 12, 13, 28, 29, 14, 15, 30, 31), 16);
      }
    }
  }
  for (; i < count; i++) {
    const index = first + i;
    const bit = index * headBits;
    const raw = headBits ? <u32>(load<u64>(heads + (bit >> 3)) >> (bit & 7)) & <u32>lowMask(headBits) : 0;
    let head = <u32>load<u16>(values + (i << 1)) | ((raw & <u32>lowMask(kept)) << zeros);
    if (!signed) head |= (raw >> kept) << 15;
    let x = (<u64>head) << tailWidth;
    if (tailBits) {
      const tailBit = index * tailBits;
      x |= ((load<u64>(tails + (tailBit >> 3)) >> (tailBit & 7)) & lowMask(tailBits)) << (tailWidth - tailBits);
    }
    if (width == 2) store<u16>(elements + (index << 1), <u16>x);
    else if (width == 4) store<u32>(elements + (index << 2), <u32>x);
    else store<u64>(elements + (index << 3), x);
  }
}

const scratch: usize = memory.data(32, 16);

// ---- checksum: XXH64 (xxHash specification 0.1.1, section "XXH64 algorithm") ---------------------------------------

const P1: u64 = 0x9e3779b185ebca87, P2: u64 = 0xc2b2ae3d27d4eb4f, P3: u64 = 0x165667b19e3779f9;
const P4: u64 = 0x85ebca77c2b2ae63, P5: u64 = 0x27d4eb2f165667c5;

// @ts-ignore: decorator
@inline
function round(accumulator: u64, lane: u64): u64 {
  return rotl<u64>(accumulator + lane * P2, 31) * P1;
}

// @ts-ignore: decorator
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

/** Where the caller's buffers may begin. */
export function heapBase(): usize {
  return __heap_base;
}
