/** Returns the sum of a number of each item, in order. */
export function sumOf<T>(items: ArrayLike<T>, value: (item: T) => number): number {
  let sum = 0;
  for (let i = 0; i < items.length; i++) sum += value(items[i]!);
  return sum;
}
