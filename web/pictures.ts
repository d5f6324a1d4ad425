// Plots of a file's parts. Each has a label for screen readers; the tables have the same numbers.
import * as Plot from '@observablehq/plot';
import { type Histogram, histogramOf } from '../dist/browser/histogram.js';
import type { BrowserModel } from '../dist/browser/open.js';
import type { Summary, TensorSummary } from '../dist/wpk/summary.js';
import { bitsOf, count, element, find, row, share } from './page.js';

const COLORS = [
  '#4269d0',
  '#efb118',
  '#ff725c',
  '#3ca951',
  '#9c6b4e',
  '#a463f2',
  '#6cc5b0',
  '#97bbf5',
  '#9498a0',
];

/** Returns the color scale of roles and files, in the order of the table. */
function colorsOf({ rows }: Summary) {
  const domain = rows.map(({ part }) => part);
  return { domain, range: domain.map((_, i) => COLORS[i % COLORS.length]!) };
}

type Options = NonNullable<Parameters<typeof Plot.plot>[0]>;

function draw(figure: HTMLElement, ariaLabel: string, options: Options): SVGElement {
  const plot = Plot.plot({
    width: Math.max(280, figure.clientWidth),
    marginLeft: 56,
    marginRight: 8,
    style: { background: 'none', color: 'inherit', fontSize: '12px' },
    ...options,
  } as Options) as unknown as SVGElement;
  // one label for the whole plot, none for its parts
  for (const part of plot.querySelectorAll('[aria-label]')) part.removeAttribute('aria-label');
  plot.setAttribute('role', 'img');
  plot.setAttribute('aria-label', ariaLabel);
  return plot;
}

/** Shows the whole file as one bar, and its table. */
export function showRoles(summary: Summary): void {
  const { rows, fileBytes } = summary;
  const { domain, range } = colorsOf(summary);
  const figure = find('whole');
  figure.replaceChildren(
    draw(figure, `${count(fileBytes)} bytes by role, as in the table below`, {
      height: 72,
      marginLeft: 8,
      marginBottom: 34,
      x: { label: 'bytes', domain: [0, fileBytes], ticks: figure.clientWidth / 100, labelOffset: 32 },
      color: { domain, range },
      marks: [
        Plot.barX(rows, Plot.stackX({ x: 'compressedBytes', fill: 'part', order: domain, title: 'part' })),
      ],
    }),
  );
  find('roles').replaceChildren(
    ...rows.map((part, i) => {
      const { part: name, compressedBytes } = part;
      const made = row([name, count(compressedBytes), share(compressedBytes / fileBytes), bitsOf(part)]);
      made.cells[0]!.className = 'swatch';
      made.cells[0]!.style.setProperty('--swatch', range[i]!);
      return made;
    }),
  );
}

/** Plots bytes, bits per weight and error of every tensor. @param pick called with a clicked tensor's name. */
export function showTensors(summary: Summary, pick: (name: string) => void): void {
  const { tensors } = summary;
  const data = tensors.map((tensor, index) => ({
    ...tensor,
    index,
    bits:
      tensor.elements && tensor.sameAs === undefined ? (8 * tensor.compressedBytes) / tensor.elements : null,
  }));
  const figure = find('tensors');
  const title = ({ name, compressedBytes }: TensorSummary) => `${name}\n${count(compressedBytes)} bytes`;
  const plot = (label: string, value: keyof (typeof data)[number], marks: 'bars' | 'dots') => {
    const channels = { x: 'index', y: value, title, tip: true } as const;
    const drawn = draw(figure, `${label} of ${tensors.length} tensors, as in the table below`, {
      height: 140,
      x: {
        axis: null,
        domain: marks === 'bars' ? data.map(({ index }) => index) : [-0.5, data.length - 0.5],
      },
      y: { label, grid: true, zero: true, nice: true },
      color: colorsOf(summary),
      marks: [
        marks === 'bars'
          ? Plot.barY(data, { ...channels, fill: 'role' })
          : Plot.dot(data, { ...channels, fill: 'role', r: 3 }),
        Plot.ruleY([0]),
      ],
    });
    drawn.addEventListener('click', () => {
      const { value: chosen } = drawn as unknown as { value: { name: string } | null };
      if (chosen) pick(chosen.name);
    });
    return drawn;
  };
  const plots = [plot('bytes', 'compressedBytes', 'bars'), plot('bits per weight', 'bits', 'dots')];
  if (data.some(({ error }) => error !== undefined))
    plots.push(plot('relative squared error', 'error', 'dots'));
  figure.replaceChildren(...plots);
}

export function showTable({ tensors }: Summary): void {
  find('scroll').tabIndex = 0; // for scrolling with the keyboard
  find('all').replaceChildren(
    ...tensors.map((tensor) =>
      row([
        tensor.name,
        `[${tensor.shape.join(', ')}] ${tensor.dtype}`,
        tensor.sameAs === undefined ? tensor.codec : `as ${tensor.sameAs}`,
        count(tensor.compressedBytes),
        bitsOf(tensor),
        tensor.error?.toPrecision(3) ?? '',
      ]),
    ),
  );
}

/** Plots the distribution of a tensor's weights over its quantization levels. */
export async function showHistogram(
  { container }: BrowserModel,
  name: string,
  signal: AbortSignal,
): Promise<void> {
  const histogram = await histogramOf(container, name, signal);
  const figure = find('histogram');
  if (!histogram) return figure.replaceChildren(element('figcaption', 'its elements are not floats'));
  const caption = captionOf(histogram);
  const bins = histogram.counts.map((value, i) => {
    const middle = histogram.first + i * histogram.width;
    return {
      from: middle - histogram.width / 2,
      to: middle + histogram.width / 2,
      value,
      parity: Math.round(middle) % 2 ? 'odd' : 'even',
    };
  });
  const inSteps = histogram.unit === 'steps';
  figure.replaceChildren(
    draw(figure, `histogram of ${name}: ${caption}`, {
      height: 200,
      marginBottom: 34,
      x: { label: inSteps ? 'level, in steps' : 'weight', ticks: figure.clientWidth / 100, labelOffset: 32 },
      y: { label: 'weights', grid: true },
      color: { domain: ['even', 'odd'], range: [COLORS[0]!, COLORS[1]!] },
      marks: [
        Plot.rectY(bins, {
          x1: 'from',
          x2: 'to',
          y: 'value',
          fill: inSteps ? 'parity' : COLORS[0]!,
          inset: bins.length > 60 ? 0 : 0.5,
        }),
        Plot.ruleY([0]),
      ],
    }),
    element('figcaption', caption),
  );
}

function captionOf({ unit, counts, beyond }: Histogram): string {
  const outside = beyond ? `; ${count(beyond)} weights are outside` : '';
  if (unit === 'weights') return `not quantized: ${counts.length} ranges of equal width${outside}`;
  return `${counts.filter((n) => n > 0).length} levels: even ones of one quantizer, odd ones of the other, zero of both${outside}`;
}
