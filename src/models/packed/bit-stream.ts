/** Returns number `index` of `bits` each, packed from the lowest bit of 32-bit words that lie `stride` apart, the first at `start`. */
export function unpackAt(
  words: Int32Array,
  bits: number,
  index: number,
  start: number,
  stride: number,
): number {
  const bit = index * bits;
  const at = start + (bit >>> 5) * stride;
  const shift = bit & 31;
  const low = words[at]! >>> shift;
  const value = shift + bits > 32 ? low | (words[at + stride]! << (32 - shift)) : low;
  return value & ((1 << bits) - 1);
}
