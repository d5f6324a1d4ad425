/** Bytes as an unsigned integer. */
export function littleEndian(bytes: Uint8Array): bigint {
  return bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
}

const [P1, P2, P3, P4, P5] = [
  0x9e3779b185ebca87n,
  0xc2b2ae3d27d4eb4fn,
  0x165667b19e3779f9n,
  0x85ebca77c2b2ae63n,
  0x27d4eb2f165667c5n,
] as const;
const u64 = (x: bigint) => BigInt.asUintN(64, x);
const rotate = (x: bigint, n: bigint) => u64((u64(x) << n) | (u64(x) >> (64n - n)));
const round = (sum: bigint, lane: bigint) => u64(rotate(sum + lane * P2, 31n) * P1);

/** XXH64 by its specification. */
export function xxh64(bytes: Uint8Array, seed = 0n): bigint {
  let at = 0;
  const take = (length: number) => {
    at += length;
    return littleEndian(bytes.subarray(at - length, at));
  };
  let hash = seed + P5;
  if (bytes.length >= 32) {
    const sums = [seed + P1 + P2, seed + P2, seed, seed - P1];
    while (at + 32 <= bytes.length) for (let i = 0; i < 4; i++) sums[i] = round(sums[i]!, take(8));
    hash = sums.reduce((sum, x, i) => sum + rotate(x, [1n, 7n, 12n, 18n][i]!), 0n);
    for (const x of sums) hash = u64((hash ^ round(0n, x)) * P1 + P4);
  }
  hash = u64(hash + BigInt(bytes.length));
  while (at + 8 <= bytes.length) hash = u64(rotate(hash ^ round(0n, take(8)), 27n) * P1 + P4);
  if (at + 4 <= bytes.length) hash = u64(rotate(hash ^ u64(take(4) * P1), 23n) * P2 + P3);
  while (at < bytes.length) hash = u64(rotate(hash ^ u64(take(1) * P5), 11n) * P1);
  hash = u64((hash ^ (hash >> 33n)) * P2);
  hash = u64((hash ^ (hash >> 29n)) * P3);
  return hash ^ (hash >> 32n);
}
