// The quantizer's inner loop: it quantizes each column with an eight-state trellis over the rows; every survivor path has
// the feedback of its own errors. docs/trellis.md, "Quantizing a matrix". Codes on grids: grids.ts. Pointers are byte offsets into the module's memory,
// which src/wasm/quantize.ts lays out. A column is contiguous: row i of column j is at j * STRIDE + 4 * i.
import { CONTEXTS, INDICES, MAX_INDEX, PANEL_COLUMNS, ROWS_PER_BLOCK } from '../constants';

export * from '../constants';
export { heapBase } from './_memory';

const STRIDE: usize = ROWS_PER_BLOCK * 4;

// Buffers, set once by loader.ts. [CONTEXTS][2][INDICES] choices, two floats each: the price times lambda and the level.
export let choices: usize = 0;
const CHOICE_BYTES: usize = 8;
// Per block: steps f32, contexts i32, the block's rows of the factor of G, [rows][ROWS_PER_BLOCK].
export let rowSteps: usize = 0, rowContexts: usize = 0, rowFactor: usize = 0;
// Per panel: steps and contexts of its columns, and its part of the factor of H, [columns][PANEL_COLUMNS].
export let columnSteps: usize = 0, columnContexts: usize = 0, columnFactor: usize = 0;
// Inputs of the panel: its weights; `fed`, what errors left of the panel add to each; `pushed`, what errors above the
// block add to each term. Outputs: indices (i16), errors (value - weight), terms (value - target).
export let weights: usize = 0, fed: usize = 0, pushed: usize = 0, indices: usize = 0, errors: usize = 0, terms: usize = 0;
// Per column: the target of each weight, which includes the errors fed from earlier columns.
export let target: usize = 0;
// Per row and state after it: index (i32), error (f32) and the state before (i32); 8 states, 32 bytes each.
export let pathIndices: usize = 0, pathErrors: usize = 0, pathOrigins: usize = 0;
// Feedback to later rows: from decided rows (common); from the undecided rows of each survivor (own, ownNext, swapped every row).
export let common: usize = 0, own: usize = 0, ownNext: usize = 0;

/**
 * Rows are decided in runs, after DEPTH more rows have been processed: by then nearly all survivors have a common ancestor;
 * those with another one are dropped. Until a row is decided, its errors are fed to later rows separately for each survivor;
 * once it is decided, they are fed once to all remaining rows.
 */
const RUN: u32 = 16;
const DEPTH: u32 = 64;

const NEVER: f32 = 1e30;

@inline
function pairs01(entries: v128): v128 {
  const pair = v128.load64_zero(i32x4.extract_lane(entries, 0));
  return v128.load64_lane(i32x4.extract_lane(entries, 1), pair, 1);
}

@inline
function pairs23(entries: v128): v128 {
  const pair = v128.load64_zero(i32x4.extract_lane(entries, 2));
  return v128.load64_lane(i32x4.extract_lane(entries, 3), pair, 1);
}

/** Returns the costs of these entries: (x - level)^2 + lambda * bits, in squared steps. */
@inline
function costs(entries: v128, x: v128): v128 {
  const low = pairs01(entries), high = pairs23(entries);
  const error = f32x4.sub(x, v128.shuffle<f32>(low, high, 1, 3, 5, 7));
  return f32x4.add(f32x4.mul(error, error), v128.shuffle<f32>(low, high, 0, 2, 4, 6));
}

@inline
function levels(entries: v128): v128 {
  return v128.shuffle<f32>(pairs01(entries), pairs23(entries), 1, 3, 5, 7);
}

@inline
function entriesOf(table: v128, index: v128): v128 {
  return i32x4.add(table, i32x4.shl(i32x4.trunc_sat_f32x4_s(index), 3));
}

/** Returns the next index of the same parity towards zero; 1 and -1 are swapped, 0 stays. */
@inline
function nearerZero(index: v128): v128 {
  const two = v128.or(v128.and(index, f32x4.splat(-0.0)), f32x4.splat(2));
  return v128.andnot(f32x4.sub(index, two), f32x4.eq(index, f32x4.splat(0)));
}

@inline
function clamp(index: v128, most: f32): v128 {
  return f32x4.max(f32x4.splat(-most), f32x4.min(f32x4.splat(most), index));
}

/** Quantizers of the four lanes: 0, 1, 0, 1. Quantizer 1 has the levels 2k - sign(k), so half is added before rounding to an index. */
@inline
function center(x: v128): v128 {
  const sign = v128.and(x, f32x4.splat(-0.0));
  const half = v128.and(v128.or(sign, f32x4.splat(0.5)), i32x4(0, -1, 0, -1));
  return f32x4.add(f32x4.mul(x, f32x4.splat(0.5)), half);
}

@inline
function better(first: v128, second: v128, firstCost: v128, secondCost: v128): v128 {
  return v128.bitselect(second, first, f32x4.lt(secondCost, firstCost));
}

// The best even and the best odd index of four states, and their costs.
let evenIndex = f32x4.splat(0), evenCost = f32x4.splat(0), oddIndex = f32x4.splat(0), oddCost = f32x4.splat(0);

/** Chooses the best index of each parity among the nearest to `x`, the next one towards zero, and zero. */
function chooseIndices(lanes: v128, x: v128): void {
  const one = f32x4.splat(1), two = f32x4.splat(2), half = f32x4.splat(0.5), z = center(x);
  const even = clamp(f32x4.mul(f32x4.nearest(f32x4.mul(z, half)), two), <f32>MAX_INDEX);
  const odd = clamp(f32x4.add(f32x4.mul(f32x4.nearest(f32x4.mul(f32x4.sub(z, one), half)), two), one), <f32>(MAX_INDEX - 1));
  const nextEven = nearerZero(even), nextOdd = nearerZero(odd);
  const cost = costs(entriesOf(lanes, even), x), nextCost = costs(entriesOf(lanes, nextEven), x), zeroCost = costs(lanes, x);
  const lower = f32x4.min(cost, nextCost);
  evenIndex = better(better(even, nextEven, cost, nextCost), f32x4.splat(0), lower, zeroCost);
  evenCost = f32x4.min(lower, zeroCost);
  const costOfOdd = costs(entriesOf(lanes, odd), x), nextCostOfOdd = costs(entriesOf(lanes, nextOdd), x);
  oddIndex = better(odd, nextOdd, costOfOdd, nextCostOfOdd);
  oddCost = f32x4.min(costOfOdd, nextCostOfOdd);
}

@inline
function contextOf(row: u32, columnContext: i32): usize {
  return <usize>min<i32>(CONTEXTS - 1, max<i32>(0, load<i32>(rowContexts + (<usize>row << 2)) + columnContext));
}

/** Quantizes column `j` of `rows` rows to approximate `target`. Writes indices, values (as errors), and terms. */
function quantizeColumn(rows: u32, j: usize, hasPushed: bool, hasRowFactor: bool): void {
  const above = pushed + j * STRIDE, wants = target, steps = rowSteps, allChoices = choices;
  const rowIndices = pathIndices, rowErrors = pathErrors, rowOrigins = pathOrigins;
  const columnStep = load<f32>(columnSteps + (j << 2)), columnContext = load<i32>(columnContexts + (j << 2));
  let costA = f32x4(0, NEVER, NEVER, NEVER), costB = f32x4.splat(NEVER);
  if (hasRowFactor) memory.fill(common, 0, STRIDE);
  for (let i: u32 = 0; i < rows; i++) {
    const here = <usize>i << 2;
    if (hasRowFactor && i % RUN == 0) {
      if (i >= RUN + DEPTH) {
        storeCosts(costA, costB);
        decide(i, rows);
        costA = v128.load(kept);
        costB = v128.load(kept, 16);
      }
      clearOwn(i, rows);
    }
    const table = allChoices + (contextOf(i, columnContext) * 2 * INDICES + MAX_INDEX) * CHOICE_BYTES;
    const odd = table + <usize>INDICES * CHOICE_BYTES;
    const lanes = i32x4(<i32>table, <i32>odd, <i32>table, <i32>odd);
    const rowStep = load<f32>(steps + here);
    const wanted = load<f32>(wants + here);
    const inverse: f32 = 1 / (rowStep * columnStep);
    let xA: v128, xB: v128;
    if (hasRowFactor) {
      const all = wanted - (hasPushed ? load<f32>(above + here) : 0) - load<f32>(common + here);
      const at = own + here;
      const fedA = f32x4(load<f32>(at), load<f32>(at + STRIDE), load<f32>(at + 2 * STRIDE), load<f32>(at + 3 * STRIDE));
      const fedB = f32x4(load<f32>(at + 4 * STRIDE), load<f32>(at + 5 * STRIDE), load<f32>(at + 6 * STRIDE), load<f32>(at + 7 * STRIDE));
      xA = f32x4.mul(f32x4.sub(f32x4.splat(all), fedA), f32x4.splat(inverse));
      xB = f32x4.mul(f32x4.sub(f32x4.splat(all), fedB), f32x4.splat(inverse));
    } else {
      xA = xB = f32x4.splat(wanted * inverse);
    }
    chooseIndices(lanes, xA); // of states 0 to 3
    const evenIndexA = evenIndex, evenCostA = evenCost, oddIndexA = oddIndex, oddCostA = oddCost;
    if (hasRowFactor) chooseIndices(lanes, xB); // of states 4 to 7; without a row factor their targets are the same
    const evenIndexB = evenIndex, evenCostB = evenCost, oddIndexB = oddIndex, oddCostB = oddCost;
    // State s goes where s + 4 goes with the other parity: [0, 7, 1, 6] with an even index, [2, 5, 3, 4] with an odd one.
    const evens = f32x4.add(costA, evenCostA), evensB = f32x4.add(costB, oddCostB);
    const odds = f32x4.add(costA, oddCostA), oddsB = f32x4.add(costB, evenCostB);
    const evenFromB = f32x4.lt(evensB, evens), oddFromB = f32x4.lt(oddsB, odds);
    const evenCosts = f32x4.min(evens, evensB), oddCosts = f32x4.min(odds, oddsB);
    const evenChoice = i32x4.trunc_sat_f32x4_s(v128.bitselect(oddIndexB, evenIndexA, evenFromB));
    const oddChoice = i32x4.trunc_sat_f32x4_s(v128.bitselect(evenIndexB, oddIndexA, oddFromB));
    const evenValue = f32x4.mul(f32x4.mul(levels(i32x4.add(lanes, i32x4.shl(evenChoice, 3))), f32x4.splat(rowStep)), f32x4.splat(columnStep));
    const oddValue = f32x4.mul(f32x4.mul(levels(i32x4.add(lanes, i32x4.shl(oddChoice, 3))), f32x4.splat(rowStep)), f32x4.splat(columnStep));
    const evenError = f32x4.sub(evenValue, f32x4.splat(wanted)), oddError = f32x4.sub(oddValue, f32x4.splat(wanted));
    const evenOrigin = i32x4.add(i32x4(0, 1, 2, 3), v128.and(evenFromB, i32x4.splat(4)));
    const oddOrigin = i32x4.add(i32x4(0, 1, 2, 3), v128.and(oddFromB, i32x4.splat(4)));
    costA = v128.shuffle<f32>(evenCosts, oddCosts, 0, 2, 4, 6);
    costB = v128.shuffle<f32>(evenCosts, oddCosts, 7, 5, 3, 1);
    const row = <usize>i << 5;
    v128.store(rowIndices + row, v128.shuffle<i32>(evenChoice, oddChoice, 0, 2, 4, 6));
    v128.store(rowIndices + row, v128.shuffle<i32>(evenChoice, oddChoice, 7, 5, 3, 1), 16);
    v128.store(rowErrors + row, v128.shuffle<f32>(evenError, oddError, 0, 2, 4, 6));
    v128.store(rowErrors + row, v128.shuffle<f32>(evenError, oddError, 7, 5, 3, 1), 16);
    v128.store(rowOrigins + row, v128.shuffle<i32>(evenOrigin, oddOrigin, 0, 2, 4, 6));
    v128.store(rowOrigins + row, v128.shuffle<i32>(evenOrigin, oddOrigin, 7, 5, 3, 1), 16);
    if (hasRowFactor) feedOwn(i, rows);
  }
  storeCosts(costA, costB);
  writeColumn(rows, j, columnStep, columnContext);
}

/** Traces back from the cheapest state after the last row, and writes the column. */
function writeColumn(rows: u32, j: usize, columnStep: f32, columnContext: i32): void {
  const toIndices = indices + ((j * STRIDE) >> 1), toValues = errors + j * STRIDE, toTerms = terms + j * STRIDE;
  let state = cheapest();
  for (let i: i32 = <i32>rows - 1; i >= 0; i--) {
    const at = (<usize>i << 5) + (<usize>state << 2), here = <usize>i << 2;
    const index = load<i32>(pathIndices + at);
    store<i16>(toIndices + (here >> 1), <i16>index);
    store<f32>(toTerms + here, load<f32>(pathErrors + at));
    state = load<i32>(pathOrigins + at);
    const table = contextOf(i, columnContext) * 2 + (state & 1);
    const choice = choices + (table * INDICES + index + MAX_INDEX) * CHOICE_BYTES;
    store<f32>(toValues + here, load<f32>(choice, 4) * load<f32>(rowSteps + here) * columnStep);
  }
}

// Costs of the eight states, for reading them by index.
const kept: usize = memory.data(32, 16);

@inline
function storeCosts(a: v128, b: v128): void {
  v128.store(kept, a);
  v128.store(kept, b, 16);
}

function cheapest(): i32 {
  let best: i32 = 0;
  for (let s: i32 = 1; s < 8; s++) if (load<f32>(kept + (<usize>s << 2)) < load<f32>(kept + (<usize>best << 2))) best = s;
  return best;
}

/** Returns the state after row `to` on the path that leads to `state` after row `from`. */
function ancestor(state: i32, from: u32, to: u32): i32 {
  for (let i = from; i > to; i--) state = load<i32>(pathOrigins + (<usize>i << 5) + (<usize>state << 2));
  return state;
}

/** Decides, before row `i`, the run that ends DEPTH rows earlier: drops survivors with another path, and feeds its errors to all later rows. */
function decide(i: u32, rows: u32): void {
  const first = i - RUN - DEPTH, last = first + RUN - 1;
  let state = ancestor(cheapest(), i - 1, last);
  for (let s: i32 = 0; s < 8; s++)
    if (load<f32>(kept + (<usize>s << 2)) < NEVER && ancestor(s, i - 1, last) != state) store<f32>(kept + (<usize>s << 2), NEVER);
  for (let row = last; ; row--) {
    const at = (<usize>row << 5) + (<usize>state << 2);
    const error = f32x4.splat(load<f32>(pathErrors + at));
    const shares = rowFactor + <usize>row * STRIDE;
    for (let x = <usize>i << 2; x < <usize>rows << 2; x += 16)
      v128.store(common + x, f32x4.add(v128.load(common + x), f32x4.mul(error, v128.load(shares + x))));
    state = load<i32>(pathOrigins + at);
    if (row == first) break;
  }
}

/** Returns the row at which the per-survivor feedback of a row's run ends. */
@inline
function reach(i: u32, rows: u32): usize {
  return <usize>min<u32>(rows, i - (i % RUN) + RUN + DEPTH) << 2;
}

/** Clears, before a run, the feedback of the rows that it is the first to reach. */
function clearOwn(i: u32, rows: u32): void {
  const end = reach(i, rows);
  const from = i ? reach(i - RUN, rows) : 0;
  for (let s: usize = 0; s < 8; s++)
    for (let x = from; x < end + 16 && x < STRIDE; x += 4) store<f32>(own + s * STRIDE + x, 0);
}

/** Copies to each survivor after row i its predecessor's feedback, and adds that of the row's error. */
function feedOwn(i: u32, rows: u32): void {
  const start = (<usize>(i + 1) << 2) & ~15;
  const end = reach(i, rows);
  const shares = rowFactor + <usize>i * STRIDE;
  for (let s: usize = 0; s < 8; s++) {
    const at = (<usize>i << 5) + (s << 2);
    const error = f32x4.splat(load<f32>(pathErrors + at));
    const from = own + <usize>load<i32>(pathOrigins + at) * STRIDE;
    const to = ownNext + s * STRIDE;
    for (let x = start; x < end; x += 16)
      v128.store(to + x, f32x4.add(v128.load(from + x), f32x4.mul(error, v128.load(shares + x))));
  }
  const swapped = own;
  own = ownNext;
  ownNext = swapped;
}

/** Sets the targets of column `j`: its weights, and what errors of the columns before it add. */
function aim(j: usize, bytes: usize, hasFed: bool): void {
  const here = weights + j * STRIDE, added = fed + j * STRIDE, wanted = target;
  for (let x: usize = 0; x < bytes; x += 16) {
    const weight = v128.load(here + x);
    v128.store(wanted + x, hasFed ? f32x4.sub(weight, v128.load(added + x)) : weight);
  }
  for (let l: usize = 0; l < j; l++) {
    const share = f32x4.splat(load<f32>(columnFactor + (l * PANEL_COLUMNS + j) * 4)), before = errors + l * STRIDE;
    for (let x: usize = 0; x < bytes; x += 16)
      v128.store(wanted + x, f32x4.sub(v128.load(wanted + x), f32x4.mul(share, v128.load(before + x))));
  }
}

/** Turns the values of column `j` into errors. */
function settle(j: usize, bytes: usize): void {
  const here = weights + j * STRIDE, values = errors + j * STRIDE;
  for (let x: usize = 0; x < bytes; x += 16)
    v128.store(values + x, f32x4.sub(v128.load(values + x), v128.load(here + x)));
}

@inline
function bytesOf(rows: u32): usize {
  return <usize>((rows + 3) & ~3) << 2;
}

/** Quantizes a panel of `columns` columns, left to right. `fed`, `pushed` and `rowFactor` are used only if their flag is set. */
export function quantizePanel(rows: u32, columns: u32, hasFed: bool, hasPushed: bool, hasRowFactor: bool): void {
  const bytes = bytesOf(rows);
  for (let j: usize = 0; j < <usize>columns; j++) {
    aim(j, bytes, hasFed);
    quantizeColumn(rows, j, hasPushed, hasRowFactor);
    settle(j, bytes);
  }
}
