/** Copies rows of `length` numbers to rows that are `stride` numbers apart. */
export function spread(values: Float32Array, length: number, target: Float32Array, stride: number): void {
  for (let from = 0, to = 0; from < values.length; from += length, to += stride)
    target.set(values.subarray(from, from + length), to);
}
