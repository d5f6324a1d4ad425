// How numbers are written.

import { count } from '../dist/core/count.js';

export { count };
export const share = (part: number) => `${(100 * part).toFixed(2)} %`;

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB'];

/** Writes bytes in a unit of three digits: `1.32 GB`. */
export function bytes(n: number): string {
  const [value, unit] = scaled(n);
  return `${unit ? value.toPrecision(3) : n} ${UNITS[unit]}`;
}

/** Writes a large count in a unit of three digits: `124 M`. */
export function magnitude(n: number): string {
  const [value, unit] = scaled(n);
  return unit ? `${value.toPrecision(3)} ${['', 'k', 'M', 'B', 'T'][unit]}` : String(n);
}

/** Divides by thousands until three digits are left before the point. */
function scaled(n: number): [value: number, thousands: number] {
  let [value, thousands] = [n, 0];
  while (value >= 999.5 && thousands < UNITS.length - 1) [value, thousands] = [value / 1000, thousands + 1];
  return [value, thousands];
}

/** Writes a shape: `768 × 3,072`; `scalar` for none. */
export const shapeOf = (shape: readonly number[]) => (shape.length ? shape.map(count).join(' × ') : 'scalar');

/** Writes three significant digits. */
export const digits = (value: number) => String(Number(value.toPrecision(3)));
