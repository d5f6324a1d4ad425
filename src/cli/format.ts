import { plainLine } from '../core/plain-text.js';
import { sumOf } from '../core/sum.js';

export { count } from '../core/count.js';

const BYTE_UNITS = [
  [1e12, 'TB'],
  [1e9, 'GB'],
  [1e6, 'MB'],
  [1e3, 'kB'],
] as const;

/** Returns the decimal unit in which a number of bytes, rounded to three digits, is at least 1 and below 1000. */
export function byteUnit(n: number): readonly [divisor: number, name: string] {
  return BYTE_UNITS.find(([divisor]) => n >= 0.9995 * divisor) ?? [1, 'B'];
}

/** Formats bytes in decimal units: `23.4 MB`. Exact below 10 kB. */
export function bytes(n: number): string {
  if (n < 10_000) return `${n} B`;
  const [divisor, name] = byteUnit(n);
  return `${(n / divisor).toPrecision(3)} ${name}`;
}

/** Formats a share as `65.72 %`; empty for a share of nothing (NaN). */
export function percent(share: number): string {
  return Number.isFinite(share) ? `${(share * 100).toFixed(2)} %` : '';
}

/** Formats seconds as `9 s`, `3 min 20 s`, `1 h 5 min`. */
export function duration(seconds: number): string {
  const s = Math.round(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
}

/**
 * Formats a plain table. Headings may have line breaks. The first column is left-aligned, the others right-aligned, unless `align` says
 * otherwise. A row `null` is a rule. Cells may hold text from files: each is reduced to one harmless line. Where the table is wider than
 * `columns`, by default the width of the terminal that prints it, cells of the first column are shortened in the middle.
 */
export function table(
  head: readonly string[],
  body: readonly (readonly string[] | null)[],
  align: readonly ('left' | 'right')[] = head.map((_, i) => (i ? 'right' : 'left')),
  columns = (process.stdout.isTTY && process.stdout.columns) || Number.POSITIVE_INFINITY,
): string {
  const rows = [...headingLines(head), null, ...body].map((row) => row?.map(plainLine) ?? null);
  const widths = head.map((_, i) => Math.max(...rows.map((row) => row?.[i]?.length ?? 0)));
  const excess = sumOf(widths, (width) => width + 2) - 2 - columns;
  if (excess > 0) widths[0] = Math.max(Math.min(widths[0]!, MIN_FIRST), widths[0]! - excess);
  const cell = (text: string, i: number) =>
    align[i] === 'left' ? text.padEnd(widths[i]!) : text.padStart(widths[i]!);
  const line = (row: readonly string[] | null) =>
    widths
      .map((width, i) => (row ? cell(i ? (row[i] ?? '') : shorten(row[0]!, width), i) : '-'.repeat(width)))
      .join('  ');
  return rows.map((row) => line(row).trimEnd()).join('\n');
}

/** Columns that remain of the first column, however narrow the terminal is. */
const MIN_FIRST = 12;

/** Splits headings at their line breaks into rows, aligned at the bottom. */
function headingLines(head: readonly string[]): string[][] {
  const parts = head.map((text) => text.split('\n'));
  const height = Math.max(...parts.map(({ length }) => length));
  return Array.from({ length: height }, (_, row) =>
    parts.map((part) => part[row - height + part.length] ?? ''),
  );
}

/** Shortens text to a width of at least 2 by leaving out its middle. */
function shorten(text: string, width: number): string {
  if (text.length <= width) return text;
  const characters = [...text];
  const start = Math.ceil((width - 1) / 2);
  return `${characters.slice(0, start).join('')}…${characters.slice(start + 1 - width).join('')}`;
}
