import type { LabCurve } from './curves.js';
import type { LabPoint, LabReport } from './lab.js';
import { type Axis, lineChart, type Series } from './line-chart.js';

/** The method whose line is emphasized. */
const OWN = 'weightpress';
/** Colors of the others, by their place in the report; the page has two values for each, light and dark. */
const OTHERS = 8;

/** Returns the methods of a report, this project's first. */
export function methodsOf({ points }: LabReport): string[] {
  const methods = [...new Set(points.map(({ method }) => method))];
  return methods.sort((a, b) => Number(b === OWN) - Number(a === OWN));
}

/** Returns the color of every method of a report. */
function colorsOf(report: LabReport): (method: string) => string {
  const others = methodsOf(report).filter((method) => method !== OWN);
  return (method) => (method === OWN ? 'var(--own)' : `var(--other-${others.indexOf(method) % OTHERS})`);
}

/** Draws the KL divergence of every method over its bits per weight. */
export function divergenceChart(report: LabReport): string {
  return overBits(report, {
    title: 'KL divergence from the original over bits per weight, by method',
    label: 'KL divergence, nats per token',
    value: ({ klNats }) => klNats,
    width: 640,
    height: 360,
    isWide: true,
    limits: [],
  });
}

/** Draws the squared error of every method over its bits per weight, with the bound for Gaussian weights. */
export function errorChart(report: LabReport): string {
  const bits = report.points.map(({ bitsPerWeight }) => bitsPerWeight);
  const [low, high] = [Math.min(...bits), Math.max(...bits)];
  const bound = Array.from({ length: 40 }, (_, i): [number, number] => {
    const at = low * (high / low) ** (i / 39);
    return [at, 2 ** (-2 * at)];
  });
  return overBits(report, {
    title: 'Relative squared error over bits per weight, by method',
    label: 'relative squared error',
    value: ({ relativeSquaredError }) => relativeSquaredError,
    width: 500,
    height: 320,
    isWide: false,
    limits: [{ name: 'bound', points: bound, color: 'currentColor', isLimit: true }],
  });
}

/** Draws, for each role, the share of the energy in the largest coefficients of every transform. */
export function compactionCharts(report: LabReport): string[] {
  const { curves } = report;
  const colorOf = colorsOf(report);
  const line = (curve: LabCurve, values: readonly number[]) =>
    curve.shares.map((share, i): [number, number] => [share, values[i]!]);
  return [...new Set(curves.map(({ role }) => role))].map((role) => {
    const own = curves.filter((curve) => curve.role === role);
    const limits = own.filter(({ method }) => method === 'none' || method === 'rft');
    return lineChart({
      title: `Share of the energy in the largest coefficients, ${role}`,
      x: { scale: 'log', ticks: [0.001, 0.01, 0.1, 0.5], label: `coefficients per weight, ${role}` },
      y: { scale: 'linear', ticks: [0, 0.25, 0.5, 0.75, 1], label: 'share of the energy' },
      width: 460,
      height: 270,
      labelWidth: 96,
      series: [
        ...limits.map((curve): Series => {
          const points = line(curve, curve.gaussian);
          return { name: 'Gaussian', points, color: 'currentColor', isLimit: true };
        }),
        ...own.map((curve): Series => {
          const points = line(curve, curve.energy);
          return { name: curve.method, points, color: colorOf(curve.method) };
        }),
      ],
    });
  });
}

interface OverBits {
  readonly title: string;
  readonly label: string;
  readonly value: (point: LabPoint) => number | undefined;
  readonly width: number;
  readonly height: number;
  readonly isWide: boolean;
  readonly limits: readonly Series[];
}

function overBits(report: LabReport, { title, label, value, limits, ...size }: OverBits): string {
  const { points } = report;
  const colorOf = colorsOf(report);
  const series = methodsOf(report).map((method): Series => {
    const own = points
      .filter((point) => point.method === method)
      .flatMap((point): [number, number][] => {
        const y = value(point);
        return y === undefined || !(y > 0) ? [] : [[point.bitsPerWeight, y]];
      });
    own.sort(([a], [b]) => a - b);
    return { name: method, points: own, color: colorOf(method), emphasized: method === OWN };
  });
  const measured = series.filter(({ points }) => points.length);
  const bits = [...new Set(points.map(({ bitsPerWeight }) => bitsPerWeight))];
  const x: Axis = { scale: 'log', ticks: bits, label: 'bits per weight' };
  const values = [...measured, ...limits].flatMap(({ points }) => points.map(([, y]) => y));
  const y: Axis = { scale: 'log', ticks: roundNumbers(values), label };
  return lineChart({ ...size, title, x, y, labelWidth: 152, series: [...limits, ...measured] });
}

/** Returns round numbers between the smallest value and the largest: 1, 2 and 5 times powers of ten, or only those if there are many. */
function roundNumbers(values: readonly number[]): number[] {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const powers: number[] = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) powers.push(power);
  const within = (factors: readonly number[]) =>
    powers
      .flatMap((power) => factors.map((factor) => Number(`${factor}e${power}`)))
      .filter((value) => value >= low && value <= high);
  const many = within([1, 2, 5]);
  return many.length > 8 ? within([1]) : many;
}
