// Chooses codes on grids for a panel of a matrix: of each group of neighbors in a row the scale, the minimum and the codes that cost least,
// with errors fed on to later columns and rows. docs/quantize.md. Pointers are byte offsets into the module's memory, which
// src/wasm/grids.ts lays out. A column is contiguous: row i of column j is at j * STRIDE + 4 * i.
import { MAX_GROUP, MAX_LEVELS, PANEL_COLUMNS, ROWS_PER_BLOCK } from '../constants';

export * from '../constants';
export { heapBase } from './_memory';

const STRIDE: usize = ROWS_PER_BLOCK * 4;
const PANEL_STRIDE: usize = PANEL_COLUMNS * 4;
const GROUP_STRIDE: usize = MAX_GROUP * 4;

// The format. `levels`: f32, of each code; `nearest`: the code of each half step from `lowest`, u8, for levels that are not equidistant.
export let levels: usize = 0, nearestCodes: usize = 0;
// Shares of a group's range that are tried as the range of its codes, 4 f32.
export let shares: usize = 0;

// The block's rows: the factor of G, [rows][ROWS_PER_BLOCK]; when choices are revised, G itself, damped.
export let rowMatrix: usize = 0;
// The panel: the factor of H, [columns][PANEL_COLUMNS], and the cost of a squared error in each column; when choices are revised, H itself,
// damped, and for each group the inverse of its square in H, [columns][MAX_GROUP], and the factor of that square.
export let columnFactor: usize = 0, columnCosts: usize = 0, columnMoments: usize = 0, inverses: usize = 0;
// Units and codes of scales and minimums, f32, [groups][ROWS_PER_BLOCK].
export let scaleUnits: usize = 0, minimumUnits: usize = 0, scales: usize = 0, minimums: usize = 0;
// Inputs of the panel: its weights; `fed`, what errors left of the panel add to each; `pushed`, what errors above the block add to each
// term. Outputs: codes (u8), errors (value - weight), terms (value - target). When choices are revised, `pushed` is the gradient.
export let weights: usize = 0, fed: usize = 0, pushed: usize = 0, codes: usize = 0, errors: usize = 0, terms: usize = 0;
// Of a group: targets of all rows without the errors of the same group, and what errors of the rows above add, [columns][STRIDE].
export let targets: usize = 0, common: usize = 0;
// Of a group in one row: aims, f32; values and codes of four candidates; those of the best.
export let aims: usize = 0, ones: usize = 0, values: usize = 0, candidates: usize = 0, bestValues: usize = 0, bestCodes: usize = 0;

// ---- format ------------------------------------------------------------------------------------------------------------

let size: usize = 32; // of a group
let lowest: f32 = 0, highest: f32 = 0; // levels
let isUniform = true;
let leastScale: f32 = 0, mostScale: f32 = 0, leastMinimum: f32 = 0, mostMinimum: f32 = 0;
/** Minimums: 0 there are none, 1 in units of their own, 2 in steps of the scale. */
let minimumKind: i32 = 0;
/** Distance of neighboring candidates, in units: more than 1 where units are much finer than scales need to be. */
let scaleStep: f32 = 1;

export function setFormat(group: u32, low: f32, high: f32, uniform: bool, kind: i32, step: f32): void {
  size = group;
  lowest = low;
  highest = high;
  isUniform = uniform;
  minimumKind = kind;
  scaleStep = step;
}

export function setRanges(lowScale: f32, highScale: f32, lowMinimum: f32, highMinimum: f32): void {
  leastScale = lowScale;
  mostScale = highScale;
  leastMinimum = lowMinimum;
  mostMinimum = highMinimum;
}

// ---- one group of a row -----------------------------------------------------------------------------------------------

// The group at hand: its part of the factor, whether its columns interact, and costs of its columns.
let factorAt: usize = 0, factorStride: usize = 0, interacts = false, costsAt: usize = 0, count: usize = 0;
let scaleUnit: f32 = 0, minimumUnit: f32 = 0;
// The best candidate.
let bestLoss: f32 = 0, bestScale: f32 = 0, bestMinimum: f32 = 0;

@inline
function at4(base: usize, j: usize): usize {
  return base + (j << 2);
}

@inline
function clampTo(value: v128, low: f32, high: f32): v128 {
  return f32x4.max(f32x4.splat(low), f32x4.min(f32x4.splat(high), value));
}

@inline
function scaleOf(code: v128): v128 {
  return f32x4.mul(code, f32x4.splat(scaleUnit));
}

@inline
function minimumOf(code: v128, scale: v128): v128 {
  return minimumKind == 0 ? f32x4.splat(0) : f32x4.mul(code, minimumKind == 2 ? scale : f32x4.splat(minimumUnit));
}

/** Returns codes of four numbers of steps, where levels are not equidistant. */
function nearestOf(steps: v128): v128 {
  const place = i32x4.trunc_sat_f32x4_s(f32x4.floor(f32x4.mul(f32x4.sub(clampTo(steps, lowest, highest), f32x4.splat(lowest)), f32x4.splat(2))));
  const a = <f32>load<u8>(nearestCodes + <usize>i32x4.extract_lane(place, 0)), b = <f32>load<u8>(nearestCodes + <usize>i32x4.extract_lane(place, 1));
  const c = <f32>load<u8>(nearestCodes + <usize>i32x4.extract_lane(place, 2)), d = <f32>load<u8>(nearestCodes + <usize>i32x4.extract_lane(place, 3));
  return f32x4(a, b, c, d);
}

@inline
function levelsOf(code: v128): v128 {
  const place = i32x4.trunc_sat_f32x4_s(code);
  const a = load<f32>(at4(levels, <usize>i32x4.extract_lane(place, 0))), b = load<f32>(at4(levels, <usize>i32x4.extract_lane(place, 1)));
  const c = load<f32>(at4(levels, <usize>i32x4.extract_lane(place, 2))), d = load<f32>(at4(levels, <usize>i32x4.extract_lane(place, 3)));
  return f32x4(a, b, c, d);
}

/** Tries four candidates: rounds the group from its first column to its last, each with the errors of those before. Keeps the best. */
function tryFour(scaleCode: v128, minimumCode: v128): void {
  const scaleCodes = clampTo(f32x4.nearest(scaleCode), leastScale, mostScale);
  const minimumCodes = clampTo(f32x4.nearest(minimumCode), leastMinimum, mostMinimum);
  const scale = scaleOf(scaleCodes), minimum = minimumOf(minimumCodes, scale);
  const none = f32x4.eq(scale, f32x4.splat(0));
  const perScale = v128.andnot(f32x4.div(f32x4.splat(1), v128.bitselect(f32x4.splat(1), scale, none)), none);
  let loss = f32x4.splat(0);
  for (let j: usize = 0; j < count; j++) {
    let aim = v128.load32_splat(at4(aims, j));
    const before = interacts ? j : 0;
    for (let l: usize = 0, share = factorAt + (j << 2); l < before; l++, share += factorStride)
      aim = f32x4.sub(aim, f32x4.mul(v128.load32_splat(share), v128.load(values + (l << 4))));
    const steps = f32x4.mul(f32x4.add(aim, minimum), perScale);
    let code: v128, level: v128;
    if (isUniform) {
      level = clampTo(f32x4.nearest(steps), lowest, highest);
      code = f32x4.sub(level, f32x4.splat(lowest));
    } else {
      code = nearestOf(steps);
      level = levelsOf(code);
    }
    const value = f32x4.sub(f32x4.mul(level, scale), minimum);
    v128.store(values + (j << 4), value);
    v128.store(candidates + (j << 4), code);
    const error = f32x4.sub(value, aim);
    loss = f32x4.add(loss, f32x4.mul(v128.load32_splat(at4(costsAt, j)), f32x4.mul(error, error)));
  }
  v128.store(kept, loss);
  v128.store(kept, scaleCodes, 16);
  v128.store(kept, minimumCodes, 32);
  let best: usize = 4;
  for (let lane: usize = 0; lane < 4; lane++)
    if (load<f32>(at4(kept, lane)) < bestLoss) {
      bestLoss = load<f32>(at4(kept, lane));
      best = lane;
    }
  if (best == 4) return;
  bestScale = load<f32>(at4(kept, best), 16);
  bestMinimum = load<f32>(at4(kept, best), 32);
  for (let j: usize = 0; j < count; j++) {
    store<f32>(at4(bestValues, j), load<f32>(values + (j << 4) + (best << 2)));
    store<f32>(at4(bestCodes, j), load<f32>(candidates + (j << 4) + (best << 2)));
  }
}

const kept: usize = memory.data(48, 16);

/** Tries grids that cover shares of the range of the targets, [least, most]. */
function tryRanges(least: f32, most: f32): void {
  const all = v128.load(shares);
  if (minimumKind) {
    const low = min<f32>(least, 0), high = max<f32>(most, 0);
    const scale = f32x4.mul(all, f32x4.splat((high - low) / (highest - lowest)));
    const scaleCode = f32x4.div(scale, f32x4.splat(scaleUnit));
    const minimum = f32x4.mul(all, f32x4.splat(-low));
    if (minimumKind == 1) return tryFour(scaleCode, f32x4.div(minimum, f32x4.splat(minimumUnit)));
    const none = f32x4.eq(scale, f32x4.splat(0));
    return tryFour(scaleCode, v128.andnot(f32x4.div(minimum, v128.bitselect(f32x4.splat(1), scale, none)), none));
  }
  const largest = most > -least ? most : least;
  const toLowest = f32x4.mul(all, f32x4.splat(largest / lowest / scaleUnit));
  tryFour(toLowest, f32x4.splat(0));
  tryFour(f32x4.mul(toLowest, f32x4.splat(lowest / highest)), f32x4.splat(0));
}

/** Tries the scales and minimums around those that fit the best codes by least squares. */
function tryFitted(): void {
  for (let j: usize = 0; j < count; j++) {
    const level = load<f32>(at4(levels, <usize>load<f32>(at4(bestCodes, j))));
    store<f32>(at4(values, j), level);
    store<f32>(at4(candidates, j), level);
  }
  filter(values, candidates);
  // sums over columns, weighted by cost: of level u, one o and aim x, each as filtered by the factor
  let uu: f32 = 0, uo: f32 = 0, oo: f32 = 0, ux: f32 = 0, ox: f32 = 0;
  for (let j: usize = 0; j < count; j++) {
    const u = load<f32>(at4(candidates, j)), o = load<f32>(at4(ones, j)), x = load<f32>(at4(aims, j));
    const cost = load<f32>(at4(costsAt, j));
    uu += cost * u * u;
    uo += cost * u * o;
    oo += cost * o * o;
    ux += cost * u * x;
    ox += cost * o * x;
  }
  if (!(uu > 0)) return;
  if (minimumKind == 0) {
    const code = Mathf.floor(ux / uu / scaleUnit / scaleStep) * scaleStep;
    return tryFour(f32x4(code - scaleStep, code, code + scaleStep, code + 2 * scaleStep), f32x4.splat(0));
  }
  // x = s u - m o
  const determinant = uu * oo - uo * uo;
  if (!(determinant > 0)) return;
  const scale = (ux * oo - ox * uo) / determinant;
  const code = Mathf.floor(scale / scaleUnit / scaleStep) * scaleStep;
  const codeA = min(mostScale, max(leastScale, code)), codeB = min(mostScale, max(leastScale, code + scaleStep));
  const fitA = (codeA * scaleUnit * uo - ox) / oo, fitB = (codeB * scaleUnit * uo - ox) / oo;
  const unitA = minimumKind == 2 ? codeA * scaleUnit : minimumUnit, unitB = minimumKind == 2 ? codeB * scaleUnit : minimumUnit;
  const a = unitA ? Mathf.floor(fitA / unitA) : 0, b = unitB ? Mathf.floor(fitB / unitB) : 0;
  tryFour(f32x4(codeA, codeA, codeB, codeB), f32x4(a, a + 1, b, b + 1));
}

/** Tries the present grid, and its neighbors, with the present aims. */
function tryPresent(): void {
  const s = bestScale, m = bestMinimum;
  if (minimumKind == 0) tryFour(f32x4(s - scaleStep, s, s + scaleStep, s + 2 * scaleStep), f32x4.splat(0));
  else tryFour(f32x4(s, s, s + scaleStep, s - scaleStep), f32x4(m, m + 1, m, m));
}

function fit(): void {
  for (let round = 0; round < ROUNDS; round++) {
    const before = bestLoss;
    tryFitted();
    if (!(bestLoss < before)) break;
  }
}

const ROUNDS: i32 = 3;

/** Adds to each number of a group what the factor has of those before it: `out` has a copy of `from`, or other numbers. */
function filter(from: usize, out: usize): void {
  if (!interacts) return;
  const end = out + (count << 2);
  for (let l: usize = 0, row = factorAt; l < count; l++, row += factorStride) {
    const number = v128.load32_splat(at4(from, l)), first = (l & ~3) << 2;
    for (let to = out + first, share = row + first; to < end; to += 16, share += 16)
      v128.store(to, f32x4.add(v128.load(to), f32x4.mul(number, v128.load(share))));
  }
}

@inline
function bytesOf(rows: u32): usize {
  return <usize>((rows + 3) & ~3) << 2;
}

// ---- a panel, errors fed on -------------------------------------------------------------------------------------------

/** Sets the group at hand. */
function beginGroup(factor: usize, costs: usize): void {
  factorAt = factor;
  costsAt = costs;
  for (let j: usize = 0; j < count; j++) {
    store<f32>(at4(values, j), 1);
    store<f32>(at4(ones, j), 1);
  }
  filter(values, ones);
}

/** Sets the targets of the columns of a group: their weights, and what errors of columns before the group add. */
function aimGroup(first: usize, bytes: usize, hasFed: bool): void {
  for (let j: usize = 0; j < count; j++) {
    const column = first + j, here = weights + column * STRIDE, added = fed + column * STRIDE, wanted = targets + j * STRIDE;
    for (let x: usize = 0; x < bytes; x += 16) {
      const weight = v128.load(here + x);
      v128.store(wanted + x, hasFed ? f32x4.sub(weight, v128.load(added + x)) : weight);
    }
    for (let l: usize = 0; interacts && l < first; l++) {
      const share = v128.load32_splat(columnFactor + l * PANEL_STRIDE + (column << 2)), before = errors + l * STRIDE;
      for (let x: usize = 0; x < bytes; x += 16) v128.store(wanted + x, f32x4.sub(v128.load(wanted + x), f32x4.mul(share, v128.load(before + x))));
    }
  }
}

/** Chooses the codes of a panel, group by group, from the first row to the last. The flags say what of `fed`, `pushed` and `rowMatrix` is used. */
export function choosePanel(rows: u32, columns: u32, hasFed: bool, hasPushed: bool, hasRows: bool, hasColumns: bool): void {
  const bytes = bytesOf(rows);
  factorStride = PANEL_STRIDE;
  interacts = hasColumns;
  for (let first: usize = 0, group: usize = 0; first < <usize>columns; first += size, group++) {
    count = min<usize>(size, <usize>columns - first);
    beginGroup(columnFactor + first * PANEL_STRIDE + (first << 2), columnCosts + (first << 2));
    aimGroup(first, bytes, hasFed);
    if (hasRows) memory.fill(common, 0, count * STRIDE);
    for (let i: usize = 0; i < <usize>rows; i++) chooseRow(first, group, i, rows, hasPushed, hasRows);
  }
}

function chooseRow(first: usize, group: usize, i: usize, rows: u32, hasPushed: bool, hasRows: bool): void {
  const here = i << 2, panel = first * STRIDE + here;
  const mine = group * STRIDE + here;
  scaleUnit = load<f32>(scaleUnits + mine);
  minimumUnit = load<f32>(minimumUnits + mine);
  let least = <f32>Infinity, most = -<f32>Infinity;
  for (let j: usize = 0; j < count; j++) {
    let aim = load<f32>(targets + j * STRIDE + here);
    if (hasRows) aim -= load<f32>(common + j * STRIDE + here);
    if (hasPushed) aim -= load<f32>(pushed + panel + j * STRIDE); // also of a block of one row
    store<f32>(at4(aims, j), aim);
    store<f32>(at4(values, j), load<f32>(weights + panel + j * STRIDE));
    least = min<f32>(least, aim);
    most = max<f32>(most, aim);
  }
  filter(values, aims); // what the errors of values before it take from an aim, is taken of the values themselves
  bestLoss = <f32>Infinity;
  tryRanges(least, most);
  fit();
  store<f32>(scales + mine, bestScale);
  store<f32>(minimums + mine, bestMinimum);
  for (let j: usize = 0; j < count; j++) {
    const at = panel + j * STRIDE, weight = load<f32>(weights + at), error = load<f32>(at4(bestValues, j)) - weight;
    store<f32>(errors + at, error);
    store<u8>(codes + (at >> 2), <u8>load<f32>(at4(bestCodes, j)));
    store<f32>(at4(values, j), error);
    store<f32>(at4(candidates, j), error + weight - load<f32>(targets + j * STRIDE + here));
  }
  filter(values, candidates); // errors to terms
  for (let j: usize = 0; j < count; j++) {
    const term = load<f32>(at4(candidates, j));
    store<f32>(terms + panel + j * STRIDE, term);
    if (!hasRows) continue;
    const pushes = f32x4.splat(term), below = rowMatrix + i * STRIDE, to = common + j * STRIDE;
    for (let x = (here + 4) & ~15; x < <usize>rows << 2; x += 16)
      v128.store(to + x, f32x4.add(v128.load(to + x), f32x4.mul(pushes, v128.load(below + x))));
  }
}

// ---- a panel, revised --------------------------------------------------------------------------------------------------

/**
 * Chooses again, group by group, with all other errors as they are: `pushed` is the gradient G E H of the block, `errors` and codes are the
 * present ones. Without a row matrix (`hasRows` false) `rowMatrix` holds the diagonal of G.
 */
export function revisePanel(rows: u32, columns: u32, hasRows: bool): void {
  factorStride = GROUP_STRIDE;
  interacts = true;
  for (let first: usize = 0, group: usize = 0; first < <usize>columns; first += size, group++) {
    count = min<usize>(size, <usize>columns - first);
    beginGroup(columnFactor + first * GROUP_STRIDE, columnCosts + (first << 2));
    for (let i: usize = 0; i < <usize>rows; i++) reviseRow(first, group, i, rows, columns, hasRows);
  }
}

function reviseRow(first: usize, group: usize, i: usize, rows: u32, columns: u32, hasRows: bool): void {
  const here = i << 2, panel = first * STRIDE + here, mine = group * STRIDE + here;
  scaleUnit = load<f32>(scaleUnits + mine);
  minimumUnit = load<f32>(minimumUnits + mine);
  const own = hasRows ? load<f32>(rowMatrix + i * STRIDE + here) : load<f32>(rowMatrix + here);
  for (let j: usize = 0; j < count; j++) store<f32>(at4(values, j), load<f32>(pushed + panel + j * STRIDE) / own);
  for (let j: usize = 0; j < count << 2; j += 16) {
    let change = f32x4.splat(0);
    for (let l: usize = 0; l < count; l++)
      change = f32x4.add(change, f32x4.mul(v128.load32_splat(at4(values, l)), v128.load(inverses + (first + l) * GROUP_STRIDE + j)));
    v128.store(candidates + j, change);
  }
  for (let j: usize = 0; j < count; j++) {
    const at = panel + j * STRIDE, value = load<f32>(weights + at) + load<f32>(errors + at), aim = value - load<f32>(at4(candidates, j));
    store<f32>(at4(bestValues, j), value);
    store<f32>(at4(bestCodes, j), <f32>load<u8>(codes + (at >> 2)));
    store<f32>(at4(values, j), aim);
    store<f32>(at4(aims, j), aim);
  }
  filter(values, aims);
  bestLoss = presentLoss();
  bestScale = load<f32>(scales + mine);
  bestMinimum = load<f32>(minimums + mine);
  const before = bestLoss;
  tryPresent();
  fit();
  if (!(bestLoss < before)) return;
  store<f32>(scales + mine, bestScale);
  store<f32>(minimums + mine, bestMinimum);
  for (let j: usize = 0; j < count; j++) {
    const at = panel + j * STRIDE, error = load<f32>(at4(bestValues, j)) - load<f32>(weights + at);
    store<f32>(at4(values, j), error - load<f32>(errors + at)); // the change
    store<f32>(errors + at, error);
    store<u8>(codes + (at >> 2), <u8>load<f32>(at4(bestCodes, j)));
  }
  for (let column = first; column < <usize>columns; column += 4) {
    let changes = f32x4.splat(0);
    for (let l: usize = 0, moments = columnMoments + first * PANEL_STRIDE + (column << 2); l < count; l++, moments += PANEL_STRIDE)
      changes = f32x4.add(changes, f32x4.mul(v128.load32_splat(at4(values, l)), v128.load(moments)));
    v128.store(kept, changes);
    for (let c: usize = 0; c < 4 && column + c < <usize>columns; c++) {
      const change = load<f32>(at4(kept, c)), to = pushed + (column + c) * STRIDE;
      if (!hasRows) {
        store<f32>(to + here, load<f32>(to + here) + change * own);
        continue;
      }
      const pushes = f32x4.splat(change), shares = rowMatrix + i * STRIDE;
      for (let x: usize = 0; x < <usize>rows << 2; x += 16) v128.store(to + x, f32x4.add(v128.load(to + x), f32x4.mul(pushes, v128.load(shares + x))));
    }
  }
}

/** Returns the loss of the present values. */
function presentLoss(): f32 {
  for (let j: usize = 0; j < count; j++) store<f32>(at4(candidates, j), load<f32>(at4(bestValues, j)) - load<f32>(at4(aims, j)));
  filter(bestValues, candidates);
  let loss: f32 = 0;
  for (let j: usize = 0; j < count; j++) {
    const error = load<f32>(at4(candidates, j));
    loss += load<f32>(at4(costsAt, j)) * (error * error);
  }
  return loss;
}
