// Differences of integers, in zigzag order: 0, -1, 1, -2 are 0, 1, 2, 3. spec/wpk-v1.md, "Differences".

/** Replaces each of `count` integers of T from the second on by its difference from the one before, in zigzag order, and the first by 0. */
@inline
function take<T>(at: usize, count: u32): void {
  let last = load<T>(at);
  store<T>(at, 0);
  for (let i: u32 = 1; i < count; i++) {
    const place = at + <usize>i * sizeof<T>();
    const value = load<T>(place);
    const difference = <T>(value - last);
    store<T>(place, <T>((difference << 1) ^ (difference >> <T>(8 * sizeof<T>() - 1))));
    last = value;
  }
}

/** Inverts take, given the first integer. */
@inline
function add<T>(at: usize, count: u32): void {
  let last = load<T>(at);
  for (let i: u32 = 1; i < count; i++) {
    const place = at + <usize>i * sizeof<T>();
    const coded = load<T>(place);
    const half = <T>((coded >> 1) & ~(<T>1 << <T>(8 * sizeof<T>() - 1)));
    last = <T>(last + <T>(half ^ <T>-(coded & 1)));
    store<T>(place, last);
  }
}

export function takeDifferences(at: usize, count: u32, width: u32): void {
  if (width == 2) take<i16>(at, count);
  else if (width == 4) take<i32>(at, count);
  else take<i64>(at, count);
}

export function addDifferences(at: usize, count: u32, width: u32): void {
  if (width == 2) add<i16>(at, count);
  else if (width == 4) add<i32>(at, count);
  else add<i64>(at, count);
}
