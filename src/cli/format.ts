import { plainLine } from '../core/plain-text.js';

/** Formats bytes in decimal units: `23.4 MB`. Exact below 10 kB. */
export function bytes(n: number): string {
  if (n < 10_000) return `${n} B`;
  const units = ['kB', 'MB', 'GB', 'TB'];
  let value = n;
  let unit = -1;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${value.toPrecision(3)} ${units[unit]}`;
}

/** Formats a number with thousands separators: `1,315,575,808`. */
export function count(n: number): string {
  return n.toLocaleString('en-US');
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
 * Formats a plain table. The first column is left-aligned, the others right-aligned, unless `align` says otherwise. A row `null` is a
 * rule. Cells may hold text from files: each is reduced to one harmless line.
 */
export function table(
  head: readonly string[],
  body: readonly (readonly string[] | null)[],
  align: readonly ('left' | 'right')[] = head.map((_, i) => (i ? 'right' : 'left')),
): string {
  const rows = [head, null, ...body].map((row) => row?.map(plainLine) ?? null);
  const widths = head.map((_, i) => Math.max(...rows.map((row) => row?.[i]?.length ?? 0)));
  const cell = (text: string, i: number) =>
    align[i] === 'left' ? text.padEnd(widths[i]!) : text.padStart(widths[i]!);
  const line = (row: readonly string[] | null) =>
    widths.map((width, i) => (row ? cell(row[i] ?? '', i) : '-'.repeat(width))).join('  ');
  return rows.map((row) => line(row).trimEnd()).join('\n');
}
