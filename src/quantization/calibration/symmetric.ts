/** Rows and columns per tile; source and target of a tile fit into the cache. */
const TILE = 64;

/** Copies the upper triangle of a matrix [n, n] to the lower. */
export function mirror(matrix: Float32Array, n: number): void {
  for (let top = 0; top < n; top += TILE)
    for (let left = top; left < n; left += TILE)
      for (let row = top; row < Math.min(n, top + TILE); row++)
        for (let column = Math.max(left, row + 1); column < Math.min(n, left + TILE); column++)
          matrix[column * n + row] = matrix[row * n + column]!;
}

/** Returns how many numbers the upper triangle has, including the diagonal. */
export const triangleLength = (n: number) => (n * (n + 1)) / 2;
