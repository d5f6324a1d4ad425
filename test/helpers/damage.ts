/** A copy of `bytes` with something wrong: bits flipped, cut short, lengthened, or continued by a piece of `other`. */
export function damage(random: () => number, bytes: Uint8Array, other: Uint8Array): Uint8Array {
  const below = (limit: number) => Math.floor(random() * limit);
  const kinds: (() => Uint8Array)[] = [
    () => flip(1),
    () => flip(1),
    () => flip(1 + below(20)),
    () => bytes.slice(0, below(bytes.length)),
    () => Uint8Array.from([...bytes, ...Array.from({ length: 1 + below(20) }, () => below(256))]),
    () =>
      Uint8Array.from([...bytes.subarray(0, below(bytes.length)), ...other.subarray(below(other.length))]),
    () => bytes.with(below(bytes.length), below(256)),
  ];
  function flip(times: number): Uint8Array {
    const copy = bytes.slice();
    for (let i = 0; i < times; i++) {
      // often near the front, where lengths and tables are
      const at = below(2) ? below(copy.length) : below(Math.min(copy.length, 40));
      copy[at]! ^= 1 << below(8);
    }
    return copy;
  }
  return kinds[below(kinds.length)]!();
}
