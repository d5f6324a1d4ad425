import { escapeHtml } from './page.js';

/** One axis of a chart. */
export interface Axis {
  readonly label: string;
  readonly scale: 'log' | 'linear';
  /** Values that get a tick and a grid line; the first and the last must enclose or be within the data. */
  readonly ticks: readonly number[];
}

/** A line through points, labelled at its last one. */
export interface Series {
  readonly name: string;
  readonly points: readonly (readonly [x: number, y: number])[];
  /** CSS color. */
  readonly color: string;
  readonly emphasized?: boolean;
  /** A limit, not a measurement: dashed, without points. */
  readonly isLimit?: boolean;
}

/** A chart to draw. */
export interface LineChart {
  /** What a reader who cannot see it is told. */
  readonly title: string;
  readonly x: Axis;
  readonly y: Axis;
  readonly series: readonly Series[];
  readonly width: number;
  readonly height: number;
  /** Room for the labels to the right of the lines, in pixels; 0: none. */
  readonly labelWidth: number;
  /** Whether it takes the whole width of the page, so that its text is to be drawn smaller on a screen and larger on a phone. */
  readonly isWide?: boolean;
}

const TOP = 12;
const LEFT = 68;
const BOTTOM = 44;
/** Distance between labels. */
const LINE_HEIGHT = 17;

/** Draws lines with their names beside their ends, as SVG. Text and grid take the color of the page. */
export function lineChart(chart: LineChart): string {
  const { title, x, y, series, width, height, labelWidth, isWide } = chart;
  const right = width - Math.max(16, labelWidth);
  const bottom = height - BOTTOM;
  const all = series.flatMap(({ points }) => points);
  const atX = scaleOf(x, all.map(([value]) => value), LEFT, right); // biome-ignore format: pairs of axes
  const atY = scaleOf(y, all.map(([, value]) => value), bottom, TOP); // biome-ignore format: pairs of axes
  const lines = [...series].sort((a, b) => Number(a.emphasized ?? false) - Number(b.emphasized ?? false));
  return `<svg class="chart${isWide ? ' wide' : ''}" viewBox="0 0 ${width} ${height}" role="img" aria-label="${escapeHtml(title)}">
${x.ticks.map((value) => `<path class="grid" d="M${atX(value)} ${TOP}V${bottom}"/><text x="${atX(value)}" y="${bottom + 18}" text-anchor="middle">${format(value)}</text>`).join('\n')}
${y.ticks.map((value) => `<path class="grid" d="M${LEFT} ${atY(value)}H${right}"/><text x="${LEFT - 8}" y="${atY(value) + 4}" text-anchor="end">${format(value)}</text>`).join('\n')}
<text class="axis" x="${(LEFT + right) / 2}" y="${height - 6}" text-anchor="middle">${escapeHtml(x.label)}</text>
<text class="axis" transform="translate(13 ${(TOP + bottom) / 2}) rotate(-90)" text-anchor="middle">${escapeHtml(y.label)}</text>
${lines.map((line) => drawSeries(line, atX, atY)).join('\n')}
${labelWidth ? drawLabels(series, right, atX, atY) : ''}
</svg>`;
}

type Scale = (value: number) => number;

/** Returns the place of values on an axis that holds all of them and all ticks, rounded to a tenth of a pixel. */
function scaleOf({ scale, ticks }: Axis, values: readonly number[], from: number, to: number): Scale {
  const map = scale === 'log' ? Math.log : (value: number) => value;
  const ends = [...values, ...ticks].map(map);
  const [low, high] = [Math.min(...ends), Math.max(...ends)];
  return (value) => Math.round((from + ((map(value) - low) / (high - low)) * (to - from)) * 10) / 10;
}

/** Formats a tick as a person writes it: 0.01, 1, 20. */
const format = (value: number) => String(Number(value.toPrecision(2)));

function drawSeries({ points, color, emphasized, isLimit, name }: Series, atX: Scale, atY: Scale): string {
  const path = points.map(([x, y]) => `${atX(x)} ${atY(y)}`).join('L');
  const stroke = isLimit
    ? 'stroke-dasharray="5 4" stroke-width="1.5"'
    : `stroke-width="${emphasized ? 4 : 2}"`;
  const dots = points.map(
    ([x, y]) =>
      `<circle cx="${atX(x)}" cy="${atY(y)}" r="${emphasized ? 5 : 3.5}" fill="${color}"><title>${escapeHtml(name)}: ${format(y)} at ${format(x)}</title></circle>`,
  );
  return `<path d="M${path}" fill="none" stroke="${color}" ${stroke} stroke-linejoin="round"/>${isLimit ? '' : dots.join('')}`;
}

/** Writes the names beside the ends of the lines, moved apart where they would overlap. */
function drawLabels(series: readonly Series[], right: number, atX: Scale, atY: Scale): string {
  const labels = series
    .filter(({ points }) => points.length)
    .map(({ name, color, emphasized, points }) => {
      const [x, y] = points.at(-1)!;
      return { name, color, emphasized, x: atX(x), end: atY(y), y: atY(y) };
    })
    .sort((a, b) => a.y - b.y);
  moveApart(labels);
  return labels
    .map(
      ({ name, color, emphasized, x, end, y }) =>
        `<path d="M${x + 6} ${end}L${right + 14} ${y}" fill="none" stroke="${color}" stroke-opacity=".5"/><text x="${right + 18}" y="${y + 4}"${emphasized ? ' class="emphasized"' : ''} fill="${color}">${escapeHtml(name)}</text>`,
    )
    .join('\n');
}

/** Moves labels, sorted from the top, so that each has a line of its own inside the chart, as little as possible. */
function moveApart(labels: { y: number }[]): void {
  for (let pass = 0; pass < 100; pass++)
    for (const [i, label] of labels.entries()) {
      const above = labels[i - 1];
      if (!above) label.y = Math.max(label.y, TOP);
      const overlap = above ? LINE_HEIGHT - (label.y - above.y) : 0;
      if (!above || overlap <= 0) continue;
      above.y -= overlap / 2;
      label.y += overlap / 2;
    }
}
