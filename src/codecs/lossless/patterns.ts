// Blocks that follow from the index: constants, ramps (position_ids), causal masks. They are coded as bit patterns, which is exact for
// floats and integers, in a few bytes per block.

/** The place of a block in its tensor: the index of its first element, and the tensor's last two dimensions (1 when missing). */
export interface BlockPlace {
  readonly first: number;
  readonly rows: number;
  readonly columns: number;
}

/**
 * Returns elements as unsigned integers of their width, copied if the bytes are not aligned. Those of 8 bytes are BigInts, for which `+`,
 * `-` and assignment work in the same way within one array.
 */
export function patterns(bytes: Uint8Array, width: number): Uint32Array {
  const aligned = bytes.byteOffset % width ? new Uint8Array(bytes) : bytes; // a Buffer's slice would not copy
  const View = { 1: Uint8Array, 2: Uint16Array, 4: Uint32Array, 8: BigUint64Array }[width]!;
  return new View(
    aligned.buffer as ArrayBuffer,
    aligned.byteOffset,
    aligned.byteLength / width,
  ) as Uint32Array;
}

/** Encodes a block of `first + step * i`, modulo 2^(8 width), as first and step; undefined for other blocks. */
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

/** Decodes the payload of encodeRamp. @throws {RangeError} for a payload of the wrong length. */
export function decodeRamp(payload: Uint8Array, width: number, out: Uint8Array): void {
  if (payload.length !== 2 * width) throw new RangeError('ramp of the wrong length');
  const ramp = patterns(new Uint8Array(payload), width);
  const x = patterns(new Uint8Array(out.length), width);
  for (let i = 0; i < x.length; i++) {
    x[i] = ramp[0]!;
    ramp[0]! += ramp[1]!;
  }
  out.set(new Uint8Array(x.buffer));
}

/**
 * Encodes a matrix with one value where `lowest <= column - row <= highest` and another elsewhere, as causal and local masks have;
 * undefined for other blocks. Payload: lowest i32, highest i32, inside, outside.
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

/** Decodes the payload of encodeBand. @throws {RangeError} for a payload of the wrong length. */
export function decodeBand(
  payload: Uint8Array,
  width: number,
  { first, rows, columns }: BlockPlace,
  out: Uint8Array,
): void {
  if (payload.length !== 8 + 2 * width || columns < 1 || rows < 1)
    throw new RangeError('band of the wrong length');
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

/** Returns whether both arrays have the same bytes. */
export function equal(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
