// What the page shows of a file, whatever its format.
import type { Histogram } from '../dist/browser/distribution.js';

/** A tensor as a row of the table and a rectangle of the map. */
export interface Row {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly role: string;
  readonly elements: number;
  /** Bytes that it takes in the file. */
  readonly bytes: number;
  /** Relative squared error; undefined for what was not measured or lost nothing. */
  readonly error?: number | undefined;
  /** Further facts, shown when it is chosen. */
  readonly facts: readonly (readonly [string, string])[];
  /** Counts its elements, or a sample of a large tensor. */
  histogram(signal: AbortSignal): Promise<Histogram>;
}

/** A part of a file. */
export interface Part {
  readonly name: string;
  readonly elements: number;
  readonly bytes: number;
}

/** An open file or repository. */
export interface Opened {
  readonly name: string;
  /** What it was opened by, if that can be part of the page's address. */
  readonly link: string | undefined;
  readonly format: string;
  readonly fileBytes: number;
  readonly rows: readonly Row[];
  /** Number of weights: no masks, tied ones once where the file says so. */
  readonly weights: number;
  /** Its parts, whose bytes sum to the file: roles, and what is no tensor. */
  readonly parts: readonly Part[];
  /** Its facts in the overview. */
  readonly facts: readonly (readonly [string, string])[];
  readonly metadata: ReadonlyMap<string, string>;
  readonly warning: string | undefined;
  /** Returns the whole file for an audit; undefined where it has more than one. */
  readonly file: ((signal: AbortSignal) => Promise<File>) | undefined;
  close(): Promise<void>;
}

/** Returns the layer that a tensor's name says, with what precedes the number; undefined outside of layers. */
export function layerOf(name: string): string | undefined {
  return /^(?:.*?[./])??(?:[a-zA-Z_]+[./])?\d+(?=[./])/.exec(name)?.[0];
}

/** Returns the part of a whole that rows take, by a key, the largest first. */
export function sumsBy(rows: readonly Row[], keyOf: (row: Row) => string) {
  const sums = new Map<string, { tensors: number; elements: number; bytes: number }>();
  for (const row of rows) {
    const sum = sums.get(keyOf(row)) ?? { tensors: 0, elements: 0, bytes: 0 };
    sum.tensors++;
    sum.elements += row.elements;
    sum.bytes += row.bytes;
    sums.set(keyOf(row), sum);
  }
  return [...sums].sort(([, a], [, b]) => b.bytes - a.bytes);
}

/** Groups items by a key, in order of their first ones. */
export function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group) group.push(item);
    else groups.set(key, [item]);
  }
  return groups;
}
