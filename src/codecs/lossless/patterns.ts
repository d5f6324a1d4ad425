// Blocks that are a closed form of the index: constants, ramps (position_ids), causal masks.
// They work on bit patterns, so they are exact for floats as for integers, and cost some bytes a block.

/** Where a block lies in its tensor: index of its first element, and the last two dimensions (1 when missing). */
export interface BlockPlace {
  readonly first: number;
  readonly rows: number;
  readonly columns: number;
}

/**
 * Elements as unsigned integers of their width; copies when the bytes are not aligned to it. Those of 8 bytes are
 * BigInts, but `+`, `-` and assignment treat them alike as long as both sides come from the same array.
 */
function patterns(bytes: Uint8Array, width: number): Uint32Array {
  const aligned = bytes.byteOffset % width ? new Uint8Array(bytes) : bytes; // a Buffer's slice would be no copy
  const View = { 1: Uint8Array, 2: Uint16Array, 4: Uint32Array, 8: BigUint64Array }[width]!;
  return new View(
    aligned.buffer as ArrayBuffer,
    aligned.byteOffset,
    aligned.byteLength / width,
  ) as Uint32Array;
}

/** `first + step * i`, modulo 2^(8 width): first and step, or undefined when the block is something else. */
export function encodeRamp(bytes: Uint8Array, width: number): Uint8Array | undefined {
  const x = patterns(bytes, width);
  const payload = new Uint8Array(2 * width);
  const ramp = patterns(payload, width);
  ramp[0] = x[0]!;
  if (x.length > 1) ramp[1] = x[1]! - x[0]!;
  const next = ramp.slice(0, 1);
  for (let i = 0; i < x.length; i++) {
    if (x[i] !== next[0]) return;
    next[0]! += ramp[1]!;
  }
  return payload;
}

/** Undoes encodeRamp. @throws {RangeError} on a payload of the wrong length. */
export function decodeRamp(payload: Uint8Array, width: number, out: Uint8Array): void {
  if (payload.length !== 2 * width) throw new RangeError('a ramp of the wrong length');
  const ramp = patterns(new Uint8Array(payload), width);
  const x = patterns(new Uint8Array(out.length), width);
  for (let i = 0; i < x.length; i++) {
    x[i] = ramp[0]!;
    ramp[0]! += ramp[1]!;
  }
  out.set(new Uint8Array(x.buffer));
}

/**
 * A matrix with one value where `lowest <= column - row <= highest` and another elsewhere: causal and local masks.
 * Payload: lowest i32, highest i32, inside, outside.
 */
export function encodeBand(
  bytes: Uint8Array,
  width: number,
  { first, rows, columns }: BlockPlace,
): Uint8Array | undefined {
  if (columns < 2 || rows < 2) return;
  const x = patterns(bytes, width);
  const values: number[] = [x[0]!];
  const lowest = [Infinity, Infinity];
  const highest = [-Infinity, -Infinity];
  for (let i = 0; i < x.length; i++) {
    let which = values.indexOf(x[i]!);
    if (which < 0) {
      if (values.length === 2) return;
      which = values.push(x[i]!) - 1;
    }
    const diagonal = ((first + i) % columns) - (Math.floor((first + i) / columns) % rows);
    if (diagonal < lowest[which]!) lowest[which] = diagonal;
    if (diagonal > highest[which]!) highest[which] = diagonal;
  }
  if (values.length < 2) return;
  for (const inside of [0, 1]) {
    const payload = new Uint8Array(8 + 2 * width);
    new Int32Array(payload.buffer, 0, 2).set([lowest[inside]!, highest[inside]!]);
    const pair = patterns(new Uint8Array(2 * width), width);
    pair[0] = values[inside]!;
    pair[1] = values[1 - inside]!;
    payload.set(new Uint8Array(pair.buffer), 8);
    const decoded = new Uint8Array(bytes.length);
    decodeBand(payload, width, { first, rows, columns }, decoded);
    if (equal(decoded, bytes)) return payload;
  }
  return;
}

/** Undoes encodeBand. @throws {RangeError} on a payload of the wrong length. */
export function decodeBand(
  payload: Uint8Array,
  width: number,
  { first, rows, columns }: BlockPlace,
  out: Uint8Array,
): void {
  if (payload.length !== 8 + 2 * width || columns < 1 || rows < 1)
    throw new RangeError('a band of the wrong length');
  const copy = new Uint8Array(payload);
  const [lowest, highest] = new Int32Array(copy.buffer, 0, 2) as unknown as [number, number];
  const [inside, outside] = patterns(copy.subarray(8), width) as unknown as [number, number]; // or two BigInts
  const x = patterns(new Uint8Array(out.length), width);
  for (let i = 0; i < x.length; i++) {
    const diagonal = ((first + i) % columns) - (Math.floor((first + i) / columns) % rows);
    x[i] = diagonal >= lowest && diagonal <= highest ? inside : outside;
  }
  out.set(new Uint8Array(x.buffer));
}

/** True when both hold the same bytes. */
export function equal(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
