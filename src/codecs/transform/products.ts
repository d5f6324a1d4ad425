/** Returns a [m, k] times b [k, n], row-major. Float64 with a fixed order of summation gives the same result everywhere. */
export function multiply(a: Float64Array, b: Float64Array, m: number, k: number, n: number): Float64Array {
  const result = new Float64Array(m * n);
  for (let row = 0; row < m; row++) {
    const out = result.subarray(row * n, (row + 1) * n);
    for (let inner = 0; inner < k; inner++) {
      const factor = a[row * k + inner]!;
      if (factor === 0) continue;
      const from = inner * n;
      for (let column = 0; column < n; column++) out[column]! += factor * b[from + column]!;
    }
  }
  return result;
}

/** Returns the transpose of a [m, n]. */
export function transpose(a: Float64Array, m: number, n: number): Float64Array {
  const result = new Float64Array(m * n);
  for (let row = 0; row < m; row++)
    for (let column = 0; column < n; column++) result[column * m + row] = a[row * n + column]!;
  return result;
}

/** Adds `factor` times b to a, in place. */
export function addScaled(a: Float64Array, b: Float64Array, factor: number): Float64Array {
  for (let i = 0; i < a.length; i++) a[i]! += factor * b[i]!;
  return a;
}
