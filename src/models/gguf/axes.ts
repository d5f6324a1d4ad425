/** Reads bytes `start` to `end` (exclusive) of a tensor's little-endian elements. */
export type ReadBytes = (start: number, end: number, signal?: AbortSignal) => Promise<Uint8Array>;

/** Swaps `first` and `second` in elements viewed as [outer, first, second, rest]. */
export type Swap = readonly [outer: number, first: number, second: number, rest: number];

/** Longer runs are read one by one, shorter ones together with their slice. */
const LONG_RUN_BYTES = 4096;

/**
 * Cache of the last reordered slice of any tensor, one per open model. A transposed matrix that is read block by block is thus
 * transposed only once.
 */
export class LastSlice {
  private owner: ReadBytes | undefined;
  private index = 0;
  private bytes = new Uint8Array(0);

  async get(owner: ReadBytes, index: number, make: () => Promise<Uint8Array>): Promise<Uint8Array> {
    if (owner === this.owner && index === this.index) return this.bytes;
    const bytes = await make();
    [this.owner, this.index, this.bytes] = [owner, index, bytes as Uint8Array<ArrayBuffer>];
    return bytes;
  }
}

/**
 * Returns a reader of the same elements, `lengthBytes` in total, with two axes swapped: from [outer, first, second, rest] to [outer,
 * second, first, rest].
 */
export function swapAxes(read: ReadBytes, lengthBytes: number, swap: Swap, last: LastSlice): ReadBytes {
  const [outer, first, second] = swap;
  const runBytes = lengthBytes / (outer * first * second);
  return runBytes >= LONG_RUN_BYTES ? byRuns(read, runBytes, swap) : bySlices(read, runBytes, swap, last);
}

/** Returns the inverse of a swap. */
export function inverse([outer, first, second, rest]: Swap): Swap {
  return [outer, second, first, rest];
}

function byRuns(read: ReadBytes, runBytes: number, [, first, second]: Swap): ReadBytes {
  return async (start, end, signal) => {
    const out = new Uint8Array(end - start);
    for (let at = start; at < end; ) {
      const run = Math.floor(at / runBytes);
      const runEnd = Math.min(end, (run + 1) * runBytes);
      const [slice, place] = [Math.floor(run / (first * second)), run % (first * second)];
      const source = slice * first * second + (place % first) * second + Math.floor(place / first);
      const from = source * runBytes + (at - run * runBytes);
      out.set(await read(from, from + runEnd - at, signal), at - start);
      at = runEnd;
    }
    return out;
  };
}

function bySlices(read: ReadBytes, runBytes: number, [, first, second]: Swap, last: LastSlice): ReadBytes {
  const sliceBytes = first * second * runBytes;
  return async (start, end, signal) => {
    const out = new Uint8Array(end - start);
    for (let at = start; at < end; ) {
      const slice = Math.floor(at / sliceBytes);
      const sliceStart = slice * sliceBytes;
      const sliceEnd = Math.min(end, sliceStart + sliceBytes);
      const swapped = await last.get(read, slice, async () =>
        swapped2d(await read(sliceStart, sliceStart + sliceBytes, signal), first, second, runBytes),
      );
      out.set(swapped.subarray(at - sliceStart, sliceEnd - sliceStart), at - start);
      at = sliceEnd;
    }
    return out;
  };
}

/** Transposes [first, second] runs. Runs of one element are moved as numbers, which is ten times as fast. */
function swapped2d(bytes: Uint8Array, first: number, second: number, runBytes: number): Uint8Array {
  const Words = { 1: Uint8Array, 2: Uint16Array, 4: Uint32Array, 8: BigUint64Array }[runBytes];
  const out = new Uint8Array(bytes.length);
  if (Words) {
    const aligned = bytes.byteOffset % runBytes ? bytes.slice() : bytes;
    const from = new Words(aligned.buffer as ArrayBuffer, aligned.byteOffset, first * second);
    const to = new Words(out.buffer);
    for (let i = 0; i < first; i++)
      for (let j = 0; j < second; j++) to[j * first + i] = from[i * second + j]!;
    return out;
  }
  for (let i = 0; i < first; i++)
    for (let j = 0; j < second; j++) {
      const at = (i * second + j) * runBytes;
      out.set(bytes.subarray(at, at + runBytes), (j * first + i) * runBytes);
    }
  return out;
}
