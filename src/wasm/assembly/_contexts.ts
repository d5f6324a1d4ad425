// Symbols of quantized weights, each in the context of those before it in its group. spec/wpk-v1.md, "Contexts". A walk visits all symbols
// in order; encoding counts them by context, then splits them into a queue for each class of contexts; decoding takes them from there.

// Buffers, set once by loader.ts. `places`: for each symbol of a record, where its low and its high part are, u32 each: byte, then shift
// from bit 16 on. `updates`: for each symbol, what it adds to its group's state. `buckets`: for each position in a group, its part of the
// context. `reciprocals`: for each number of symbols seen, u64. `lanes`: the state of each lane's group. `levels`: of each group, where
// groups have any. `classes`: the class of each context. `cursors`: for each class, where its queue continues and where it ends. `queues`: bytes. `counts`: u32 by context and symbol.
export let places: usize = 0, updates: usize = 0, buckets: usize = 0, reciprocals: usize = 0, lanes: usize = 0;
export let classes: usize = 0, cursors: usize = 0, queues: usize = 0, counts: usize = 0, levels: usize = 0;

/** State of a group: the sum of values in 16 bits, the number of symbols above it, two flags at the top. */
const ONE: u32 = 1 << 16;
const FLAGS: u32 = 0xc0000000;
/** Buckets of the mean, and one more for the first symbol of a group. */
const MEANS: u32 = 33;
const MEAN_BITS = 5;

let recordBytes: u32 = 0, perRecord: u32 = 0, lowBits: u32 = 0, highBits: u32 = 0;
let group: u32 = 0, run: u32 = 0, laneCount: u32 = 0;
let firstInRun: u32 = 0, firstLane: u32 = 0, firstPosition: u32 = 0;
let leveled: bool = false;

/** Sets the records: their bytes, their symbols, the bits of a symbol's two parts. */
export function setRecords(bytes: u32, symbols: u32, low: u32, high: u32): void {
  recordBytes = bytes; perRecord = symbols; lowBits = low; highBits = high;
}

/**
 * Sets how groups lie among the symbols, and the place of the first symbol: in its run, its lane, and where its run begins in the group. With
 * levels there is one lane and the first symbol begins a group.
 */
export function setWalk(size: u32, runLength: u32, count: u32, inRun: u32, lane: u32, position: u32, hasLevels: bool): void {
  leveled = hasLevels;
  group = size; run = runLength; laneCount = count; firstInRun = inRun; firstLane = lane; firstPosition = position;
}

@inline
function contextOf(state: u32, position: u32, level: usize): u32 {
  const bucket = <u32>load<u8>(buckets + position) * 4 + (state >> 30);
  if (level) return bucket * MEANS + load<u8>(level);
  const seen = (state >> 16) & 0x3ff;
  const scaled = (<u64>(state & 0xffff) << MEAN_BITS) * load<u64>(reciprocals + (seen << 3)) >> 40;
  const mean = <u32>min<u64>(scaled, MEANS - 2) + <u32>(seen != 0);
  return bucket * MEANS + mean;
}

const COUNT: u32 = 0, SPLIT: u32 = 1, MERGE: u32 = 2;

@inline
function walk(task: u32, at: usize, records: u32): bool {
  const low = lowBits, high = highBits, bits = low + high, step = recordBytes, symbols = perRecord;
  const size = group, length = run, all = laneCount;
  const lowMask: u32 = (1 << low) - 1, highMask: u32 = (1 << high) - 1;
  let inRun = firstInRun, lane = firstLane, base = firstPosition;
  let level: usize = leveled ? levels : 0;
  memory.fill(lanes, 0, <usize>all << 2);
  for (const end = at + <usize>records * step; at < end; at += step) {
    for (let i: u32 = 0; i < symbols; i++) {
      const position = base + inRun;
      const cell = lanes + (<usize>lane << 2);
      const state: u32 = position == 0 ? 0 : load<u32>(cell);
      const context = contextOf(state, position, level);
      const one = load<u32>(places + (<usize>i << 3)), two = load<u32>(places + (<usize>i << 3), 4);
      const first = at + (one & 0xffff), second = at + (two & 0xffff);
      let symbol: u32 = 0;
      if (task != MERGE) {
        symbol = (<u32>load<u8>(first) >> (one >> 16)) & lowMask;
        if (high) symbol |= ((<u32>load<u8>(second) >> (two >> 16)) & highMask) << low;
      }
      if (task == COUNT) {
        const bin = counts + (<usize>((context << bits) | symbol) << 2);
        store<u32>(bin, load<u32>(bin) + 1);
      } else {
        const cursor = cursors + (<usize>load<u8>(classes + context) << 3);
        const next = <usize>load<u32>(cursor);
        if (task == SPLIT) store<u8>(next, <u8>symbol);
        else {
          if (next == <usize>load<u32>(cursor, 4)) return false;
          symbol = load<u8>(next);
          if (symbol >> bits) return false;
          store<u8>(first, <u8>(<u32>load<u8>(first) | ((symbol & lowMask) << (one >> 16))));
          if (high) store<u8>(second, <u8>(<u32>load<u8>(second) | ((symbol >> low) << (two >> 16))));
        }
        store<u32>(cursor, <u32>next + 1);
      }
      const update = load<u32>(updates + (<usize>symbol << 2));
      store<u32>(cell, ((state & ~FLAGS) + (update & ~FLAGS)) | ((state | update) & FLAGS));
      if (++inRun == length) {
        inRun = 0;
        if (++lane == all) {
          lane = 0;
          base += length;
          if (base == size) {
            base = 0;
            if (level) level++;
          }
        }
      }
    }
  }
  return true;
}

/** Counts symbols by context: `counts[context * 2^bits + symbol]`, from zero. @param contexts their number. */
export function countContexts(at: usize, records: u32, contexts: u32): void {
  memory.fill(counts, 0, <usize>contexts << (lowBits + highBits + 2));
  walk(COUNT, at, records);
}

/** Appends every symbol to the queue of its class. */
export function splitContexts(at: usize, records: u32): void {
  walk(SPLIT, at, records);
}

/** Takes every symbol from the queue of its class and adds it to zeroed records; false if a queue ends early or has a symbol too large. */
export function mergeContexts(at: usize, records: u32): bool {
  return walk(MERGE, at, records);
}

/** Copies `length` bytes of each of the records, the first at `from`, to u16 `to`, counting them in 256 `bins`. */
export function gatherBytes(from: usize, step: u32, length: u32, records: u32, to: usize, bins: usize): void {
  memory.fill(bins, 0, 256 * 4);
  for (let i: u32 = 0; i < records; i++, from += step)
    for (let j: u32 = 0; j < length; j++, to += 2) {
      const byte = load<u8>(from + j);
      store<u16>(to, byte);
      const bin = bins + (<usize>byte << 2);
      store<u32>(bin, load<u32>(bin) + 1);
    }
}

/** Inverts gatherBytes for `count` of its bytes, from number `first` on. */
export function scatterBytes(to: usize, step: u32, length: u32, first: u32, count: u32, from: usize): void {
  let j = first % length;
  to += <usize>(first / length) * step;
  for (let i: u32 = 0; i < count; i++) {
    store<u8>(to + j, load<u8>(from + (<usize>i << 1)));
    if (++j == length) {
      j = 0;
      to += step;
    }
  }
}
