import type { ByteRun, Sliced } from './slice.js';

/** Fewer bytes between two runs are read with them: to ask a disk again takes as long as to copy them. */
const GAP_BYTES = 2 ** 16;
/** Runs with gaps are read together up to this length. */
const SPAN_BYTES = 2 ** 22;

/**
 * Reads the elements of a part of a tensor: runs that lie near each other at once.
 * @param read returns bytes `start` to `end` (exclusive) of the tensor.
 */
export async function readSlice(
  { lengthBytes, runs }: Sliced,
  read: (start: number, end: number) => Promise<Uint8Array>,
): Promise<Uint8Array> {
  let [bytes, filled] = [undefined as Uint8Array | undefined, 0];
  for (const group of grouped(runs())) {
    const [start, end] = [group[0]!.start, group.at(-1)!.end];
    const span = await read(start, end);
    if (span.length === lengthBytes) return span;
    bytes ??= new Uint8Array(lengthBytes);
    for (const run of group) {
      bytes.set(span.subarray(run.start - start, run.end - start), filled);
      filled += run.end - run.start;
    }
  }
  return bytes ?? new Uint8Array();
}

/** Yields runs in groups, each to be read at once. */
function* grouped(runs: Iterable<ByteRun>): Generator<ByteRun[]> {
  let group: ByteRun[] = [];
  for (const run of runs) {
    if (
      group.length &&
      (run.start - group.at(-1)!.end > GAP_BYTES || run.end - group[0]!.start > SPAN_BYTES)
    ) {
      yield group;
      group = [];
    }
    group.push(run);
  }
  if (group.length) yield group;
}
