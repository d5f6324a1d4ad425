import { CONTEXTS } from '../../codecs/trellis/levels.js';
import { INDICES } from '../../codecs/trellis/tokens.js';
import { isPlainObject } from '../../core/json.js';
import type { Quality } from '../../evaluation/report.js';
import { chainedChecksum, hexOf } from '../../wasm/lossless.js';
import type { WrittenFrames } from '../candidate-frames.js';

/** What an operation of a search returned, and what the next ones depend on. */
export type Entry =
  | {
      readonly kind: 'sample';
      readonly step: number;
      readonly bits: number;
      readonly weights: number;
      readonly passes: Passes;
    }
  | { readonly kind: 'write'; readonly step: number; readonly passes: Passes; readonly frames: WrittenFrames }
  | { readonly kind: 'tune' | 'untune' | 'writeLossless'; readonly frames: WrittenFrames }
  | { readonly kind: 'size'; readonly bytes: number }
  | { readonly kind: 'measure'; readonly quality: Quality | null };

/** The counts of the indices of each pass: each counted index, and how often it was counted, in turn. */
export type Passes = readonly (readonly number[])[];

/** Kinds of entries after which the candidate is another file. */
export type WritingEntry = Extract<Entry, { readonly frames: WrittenFrames }>;

const KINDS: ReadonlySet<unknown> = new Set<Entry['kind']>([
  'sample',
  'write',
  'tune',
  'untune',
  'writeLossless',
  'size',
  'measure',
]);
const COUNTS = CONTEXTS * 2 * INDICES;

/** Returns counts in the form that is stored: few indices are counted. */
export function packCounts(counts: Float64Array): number[] {
  const packed: number[] = [];
  counts.forEach((count, i) => {
    if (count) packed.push(i, count);
  });
  return packed;
}

/** Returns the counts again. */
export function unpackCounts(packed: readonly number[]): Float64Array {
  const counts = new Float64Array(COUNTS);
  for (let i = 0; i < packed.length; i += 2) counts[packed[i]!] = packed[i + 1]!;
  return counts;
}

/** Serializes a value as one line: its checksum and its JSON. Numbers that JSON has no words for are kept. */
export function encodeLine(value: unknown): Uint8Array {
  const json = JSON.stringify(value, (_, part) =>
    typeof part === 'number' && !Number.isFinite(part) ? { notFinite: String(part) } : part,
  );
  return new TextEncoder().encode(`${checksumOf(json)} ${json}\n`);
}

/** Parses a line without its line break; undefined if it is damaged. */
export function decodeLine(line: string): unknown {
  const json = line.slice(17);
  if (line[16] !== ' ' || checksumOf(json) !== line.slice(0, 16)) return undefined;
  return JSON.parse(json, (_, part) =>
    isPlainObject(part) && 'notFinite' in part ? Number(part.notFinite) : part,
  );
}

/** Returns whether a parsed line is an entry; its checksum says that the rest of it is as it was written. */
export function isEntry(value: unknown): value is Entry {
  if (!isPlainObject(value) || !KINDS.has(value.kind)) return false;
  const { passes } = value;
  return passes === undefined || (Array.isArray(passes) && passes.every(isPacked));
}

function isPacked(pass: unknown): boolean {
  return (
    Array.isArray(pass) &&
    pass.every((number, i) => Number.isSafeInteger(number) && number >= 0 && (i % 2 || number < COUNTS))
  );
}

function checksumOf(json: string): string {
  return hexOf(chainedChecksum(new TextEncoder().encode(json)));
}
