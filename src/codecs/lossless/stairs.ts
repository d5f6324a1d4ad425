import { equal, patterns } from './patterns.js';

// Integers that follow from the index, whose steps repeat and start over: i div 128 as the groups of columns, positions of every row.
// spec/wpk-v1.md, "Lossless block".

/** Elements that are compared before all are. */
const PREFIX = 64;

/** Encodes a block of `first + step * (floor(i / repeat) mod period)`, i from `start` on, modulo 2^(8 width); undefined for other blocks. */
export function encodeStairs(bytes: Uint8Array, width: number, start: number): Uint8Array | undefined {
  const x = patterns(bytes, width);
  const rises = changes(x, 2);
  if (!rises.length) return undefined;
  const repeat = rises.length > 1 ? rises[1]! - rises[0]! : start + rises[0]!;
  for (const rise of rises) {
    const step = x.slice(0, 1); // computes modulo 2^(8 width)
    step[0] = x[rise]! - x[rise - 1]!;
    for (const length of periods(x, step[0]!, start)) {
      if (length % repeat || length >= 2 ** 32 || repeat >= 2 ** 32) continue;
      const payload = writeStairs(x[0]!, step[0]!, repeat, length / repeat, width, start);
      const holds = (prefix: number) => {
        const decoded = new Uint8Array(prefix);
        decodeStairs(payload, width, start, decoded);
        return equal(decoded, bytes.subarray(0, prefix));
      };
      if (holds(Math.min(bytes.length, PREFIX * width)) && holds(bytes.length)) return payload;
    }
  }
  return undefined;
}

function writeStairs(
  value: number,
  step: number,
  repeat: number,
  period: number,
  width: number,
  start: number,
): Uint8Array {
  const payload = new Uint8Array(2 * width + 8);
  const pair = patterns(new Uint8Array(2 * width), width);
  pair[0] = firstOf(value, step, placeOf(start, repeat, period), width);
  pair[1] = step;
  payload.set(new Uint8Array(pair.buffer));
  const view = new DataView(payload.buffer);
  view.setUint32(2 * width, repeat, true);
  view.setUint32(2 * width + 4, period, true);
  return payload;
}

/** Returns lengths after which the elements may start over: 0 if they never do, that of the tensor's start, that from one time to the next. */
function periods(x: Uint32Array, step: number, start: number): number[] {
  const drop = findDrop(x, step);
  if (drop === undefined) return [0];
  const next = findDrop(x, step, drop + 1);
  return next === undefined ? [start + drop] : [next - drop];
}

/** Decodes the payload of encodeStairs. @throws {RangeError} for a payload of the wrong length, or steps of no length. */
export function decodeStairs(payload: Uint8Array, width: number, start: number, out: Uint8Array): void {
  if (payload.length !== 2 * width + 8) throw new RangeError('stairs of the wrong length');
  const view = new DataView(payload.buffer, payload.byteOffset);
  const [repeat, period] = [view.getUint32(2 * width, true), view.getUint32(2 * width + 4, true)];
  if (!repeat) throw new RangeError('stairs of no length');
  const [first, step] = patterns(payload.slice(0, 2 * width), width) as unknown as [number, number];
  const x = patterns(new Uint8Array(out.length), width);
  let place = placeOf(start, repeat, period);
  let left = repeat - (start % repeat);
  const value = x.slice(0, 1);
  value[0] = firstOf(first, step, -place, width);
  for (let i = 0; i < x.length; i++) {
    x[i] = value[0]!;
    if (--left) continue;
    left = repeat;
    if (++place === period) {
      place = 0;
      value[0] = first;
    } else value[0]! += step;
  }
  out.set(new Uint8Array(x.buffer));
}

const placeOf = (start: number, repeat: number, period: number) =>
  period ? Math.floor(start / repeat) % period : Math.floor(start / repeat);

/** Returns `value - step * place` modulo 2^(8 width), as a number or BigInt like the value. */
function firstOf(value: number, step: number, place: number, width: number): number {
  const exact = BigInt.asUintN(8 * width, BigInt(value) - BigInt(step) * BigInt(place));
  return (width === 8 ? exact : Number(exact)) as number;
}

/** Returns the first indices at which the value is not that of the one before, at most `most`. */
function changes(x: Uint32Array, most: number): number[] {
  const found: number[] = [];
  for (let i = 1; i < x.length && found.length < most; i++) if (x[i] !== x[i - 1]) found.push(i);
  return found;
}

/** Returns the first index from `from` on that neither repeats the value before nor adds `step` to it. */
function findDrop(x: Uint32Array, step: number, from = 1): number | undefined {
  const next = x.slice(0, 1);
  for (let i = from; i < x.length; i++) {
    next[0] = x[i - 1]! + step;
    if (x[i] !== x[i - 1] && x[i] !== next[0]) return i;
  }
  return undefined;
}
