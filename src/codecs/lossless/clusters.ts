/** Classes to begin with, by bits of a symbol: a longer table must pay for itself with more symbols. */
const FIRST_CLASSES = [0, 40, 40, 40, 40, 32, 24, 20, 16];
const ROUNDS = 4;
/** What a class costs besides its table, in bits: its number of symbols, its length, the states of its stream. */
const CLASS_BITS = 8 * (4 + 4 + 16);
/** What the factor of a symbol costs in a relative table, about. */
const FACTOR_BITS = 2;

/** Contexts that occur, with their symbols and counts one after another. */
export interface SparseCounts {
  readonly contexts: readonly number[];
  /** Where the symbols of each begin; at last, where those of the last end. */
  readonly starts: readonly number[];
  readonly symbols: Uint8Array;
  readonly counts: Uint32Array;
}

/** Collects what is not zero of `counts[context * 2^bits + symbol]`. @param order the contexts, those that may be alike near each other. */
export function sparse(counts: Uint32Array, order: ArrayLike<number>, bits: number): SparseCounts {
  const size = 1 << bits;
  const contexts: number[] = [];
  const starts: number[] = [];
  const symbols: number[] = [];
  const found: number[] = [];
  for (let i = 0; i < order.length; i++) {
    const before = symbols.length;
    for (let symbol = 0, bin = order[i]! << bits; symbol < size; symbol++, bin++)
      if (counts[bin]) {
        symbols.push(symbol);
        found.push(counts[bin]!);
      }
    if (symbols.length > before) {
      contexts.push(order[i]!);
      starts.push(before);
    }
  }
  starts.push(symbols.length);
  return { contexts, starts, symbols: Uint8Array.from(symbols), counts: Uint32Array.from(found) };
}

/** Returns the count of each symbol of so many bits, in all contexts together. */
export function totals({ symbols, counts }: SparseCounts, bits: number): Float64Array {
  const sums = new Float64Array(1 << bits);
  for (let i = 0; i < symbols.length; i++) sums[symbols[i]!]! += counts[i]!;
  return sums;
}

/**
 * Returns the bits that the counts take with a table for each context, about, when they are a `share` of all: their entropy, what it is too low by
 * because the tables fit by chance, and what the tables cost.
 */
export function expectedBits({ starts, counts }: SparseCounts, share: number): number {
  let bits = 0;
  for (let i = 0; i + 1 < starts.length; i++) {
    let total = 0;
    for (let j = starts[i]!; j < starts[i + 1]!; j++) total += counts[j]!;
    const log = Math.log2(total);
    bits += ((starts[i + 1]! - starts[i]! - 1) / 2) * (Math.LOG2E + share * log);
    for (let j = starts[i]!; j < starts[i + 1]!; j++) bits += counts[j]! * (log - Math.log2(counts[j]!));
  }
  return bits;
}

/** Groups contexts whose symbols have similar frequencies. @returns the class of each of `contexts`, and the number of classes. */
export function cluster(found: SparseCounts, bits: number): { classOf: Uint8Array; classes: number } {
  const size = 1 << bits;
  const classOf = slices(found, FIRST_CLASSES[bits]!);
  let sums = sumClasses(found, classOf, size);
  for (let round = 0; round < ROUNDS; round++) {
    reassign(found, classOf, sums, size);
    sums = sumClasses(found, classOf, size);
  }
  const target = mergeClasses(sums);
  const names = [...new Set([...classOf].map((own) => target[own]!))];
  return { classOf: classOf.map((own) => names.indexOf(target[own]!)), classes: names.length };
}

/** Cuts the contexts, in their order, into classes of about the same number of symbols. */
function slices({ contexts, starts, counts }: SparseCounts, classes: number): Uint8Array {
  const ends = Float64Array.from(counts);
  for (let i = 1; i < ends.length; i++) ends[i]! += ends[i - 1]!;
  const total = ends.at(-1)!;
  return Uint8Array.from(contexts, (_, i) => {
    const middle = ((ends[starts[i]! - 1] ?? 0) + ends[starts[i + 1]! - 1]!) / 2;
    return Math.min(classes - 1, Math.floor((middle / total) * classes));
  });
}

function sumClasses(found: SparseCounts, classOf: Uint8Array, size: number): Float64Array[] {
  const { contexts, starts, symbols, counts } = found;
  const sums: Float64Array[] = [];
  for (let i = 0; i < contexts.length; i++) {
    const own = classOf[i]!;
    while (sums.length <= own) sums.push(new Float64Array(size));
    for (let j = starts[i]!; j < starts[i + 1]!; j++) sums[own]![symbols[j]!]! += counts[j]!;
  }
  return sums;
}

/** Moves every context to the class in which its symbols are shortest. */
function reassign(found: SparseCounts, classOf: Uint8Array, sums: Float64Array[], size: number): void {
  const { contexts, starts, symbols, counts } = found;
  const lengths = sums.map((sum) => {
    const total = Math.log2(sum.reduce((a, b) => a + b, size / 16));
    return sum.map((count) => total - Math.log2(count + 1 / 16));
  });
  for (let i = 0; i < contexts.length; i++) {
    let best = Infinity;
    for (const [own, length] of lengths.entries()) {
      let bits = 0;
      for (let j = starts[i]!; j < starts[i + 1]!; j++) bits += counts[j]! * length[symbols[j]!]!;
      if (bits < best) {
        best = bits;
        classOf[i] = own;
      }
    }
  }
}

/** Merges classes two by two as long as that saves bits. @returns the class that each becomes. */
function mergeClasses(sums: Float64Array[]): number[] {
  const target = sums.map((_, i) => i);
  const own = sums.map(classBits);
  const left = new Set(target.filter((i) => own[i]! > 0));
  const together = (a: number, b: number) => classBits(sums[a]!.map((count, i) => count + sums[b]![i]!));
  const gains = new Map<string, number>();
  const gainOf = (a: number, b: number) => {
    const key = `${a} ${b}`;
    const gain = gains.get(key) ?? own[a]! + own[b]! - together(a, b);
    gains.set(key, gain);
    return gain;
  };
  for (;;) {
    let best = 0;
    let pair: [number, number] | undefined;
    for (const a of left)
      for (const b of left)
        if (a < b && gainOf(a, b) > best) {
          best = gainOf(a, b);
          pair = [a, b];
        }
    if (!pair) return target;
    const [a, b] = pair;
    sums[a] = sums[a]!.map((count, i) => count + sums[b]![i]!);
    own[a] = classBits(sums[a]!);
    left.delete(b);
    for (const key of gains.keys()) if (key.split(' ').includes(`${a}`)) gains.delete(key);
    target.forEach((to, i) => {
      if (to === b) target[i] = a;
    });
  }
}

/** Returns the bits of a class, its table included; 0 if it is empty. */
function classBits(counts: Float64Array): number {
  const total = counts.reduce((a, b) => a + b, 0);
  if (!total) return 0;
  const log = Math.log2(total);
  let bits = CLASS_BITS;
  for (const count of counts)
    if (count) {
      const information = log - Math.log2(count);
      bits += count * information + FACTOR_BITS;
    }
  return bits;
}
