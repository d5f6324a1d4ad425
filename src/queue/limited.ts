/** Calls a function with each item, with at most `limit` calls at the same time. */
export async function forEachLimited<T>(
  items: Iterable<T>,
  limit: number,
  call: (item: T) => Promise<void>,
): Promise<void> {
  const iterator = items[Symbol.iterator]();
  const work = async () => {
    for (let next = iterator.next(); !next.done; next = iterator.next()) await call(next.value);
  };
  await Promise.all(Array.from({ length: limit }, work));
}
