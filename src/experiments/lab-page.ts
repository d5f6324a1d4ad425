import * as Plot from '@observablehq/plot';
import type { LabReport } from './lab.js';
import { document, escapeHtml, htmlTable, page } from './page.js';

/** Returns the results of `lab` as one self-contained page with plots. */
export function labPage(reports: readonly LabReport[]): string {
  const title = `Transforms and quantizers on ${reports.map(({ model }) => model.split('/').at(-1)).join(', ')}`;
  return page(title, `<h1>${escapeHtml(title)}</h1>\n${reports.map(section).join('\n')}`);
}

function section(report: LabReport): string {
  const { model, matrices, weights, block, dimensions, coding, perplexity, sentence, points } = report;
  const reached = points.filter(({ klNats }) => klNats !== undefined);
  const rows = points.map((point) => [
    point.method,
    `${point.ratio}:1`,
    point.bitsPerWeight.toPrecision(3),
    point.bytes?.toLocaleString('en-US') ?? 'out of reach',
    point.relativeSquaredError?.toPrecision(4) ?? '',
    point.bound.toPrecision(4),
    point.klNats?.toPrecision(4) ?? '',
    point.perplexity?.toPrecision(4) ?? '',
    point.sentence ?? '',
  ]);
  return `<h2>${escapeHtml(model)}</h2>
<p>${matrices} matrices, ${weights.toLocaleString('en-US')} weights. Transforms of blocks of ${block} in ${dimensions}
dimension${dimensions > 1 ? 's' : ''}, coefficients ${coding}. Ratios are of the matrices only: norms and biases are unchanged and not counted, all bytes needed to
decode the matrices are. Perplexity of the original: ${perplexity.toFixed(3)}.${sentence ? ` Generated text: “${escapeHtml(sentence)}”` : ''}</p>
${figure(errorPlot(report), 'Relative squared error over bits per weight. The line is 2^(-2R), the minimum for Gaussian weights of one variance. A codec that minimizes the divergence can have a larger squared error than one with a larger divergence.')}
${reached.length ? figure(klPlot(report), 'KL divergence from the original, nats per token, over bits per weight.') : ''}
${figure(compactionPlot(report), 'Share of the energy in the largest coefficients, over their number as a share of the weights. Dashed: independent Gaussian coefficients. A complex transform has twice as many coefficients, so its limit is lower.')}
${htmlTable(['method', 'ratio', 'bits per weight', 'bytes', 'squared error', 'Gaussian bound', 'KL, nats', 'perplexity', 'generated text'], rows)}`;
}

function figure(plot: string, caption: string): string {
  return `<figure>${plot}<figcaption>${escapeHtml(caption)}</figcaption></figure>`;
}

type Options = Parameters<typeof Plot.plot>[0];

/** Draws an SVG with inlined classes and colors, wide enough for a screen and scaled down on a phone. */
function draw(options: Options): string {
  const given = {
    document,
    style: { background: 'none', color: 'inherit', fontSize: '12px' },
    width: 520,
    marginLeft: 60,
    ...options,
  };
  return (Plot.plot(given as Options) as unknown as { outerHTML: string }).outerHTML;
}

/** Returns the methods in the order of the run, with fixed colors. */
function colors({ points }: LabReport) {
  return {
    legend: true,
    scheme: 'tableau10',
    domain: [...new Set(points.map(({ method }) => method))],
  } as const;
}

/** Returns an axis with ticks at the ratios. */
function bitsAxis({ points }: LabReport) {
  const ticks = [...new Set(points.map(({ bitsPerWeight }) => bitsPerWeight))];
  return {
    type: 'log',
    label: 'bits per weight',
    ticks,
    tickFormat: (bits: number) => bits.toPrecision(2),
  } as const;
}

const plain = (value: number) => String(Number(value.toPrecision(3)));

function errorPlot(report: LabReport): string {
  const { points } = report;
  const reached = points.filter(({ relativeSquaredError }) => relativeSquaredError !== undefined);
  const bits = points.map(({ bitsPerWeight }) => bitsPerWeight);
  const [low, high] = [Math.min(...bits), Math.max(...bits)];
  const bound = Array.from({ length: 60 }, (_, i) => low * (high / low) ** (i / 59)).map((x) => ({
    x,
    y: 2 ** (-2 * x),
  }));
  return draw({
    color: colors(report),
    x: bitsAxis(report),
    y: { type: 'log', label: 'relative squared error', grid: true, tickFormat: plain },
    marks: [
      Plot.line(bound, { x: 'x', y: 'y', strokeDasharray: '4' }),
      Plot.lineY(reached, {
        x: 'bitsPerWeight',
        y: 'relativeSquaredError',
        z: 'method',
        stroke: 'method',
        marker: true,
      }),
    ],
  });
}

function klPlot(report: LabReport): string {
  const reached = report.points.filter(({ klNats }) => klNats !== undefined);
  return draw({
    color: colors(report),
    x: bitsAxis(report),
    y: { type: 'log', label: 'KL divergence, nats', grid: true, tickFormat: plain },
    marks: [
      Plot.lineY(reached, { x: 'bitsPerWeight', y: 'klNats', z: 'method', stroke: 'method', marker: true }),
    ],
  });
}

function compactionPlot(report: LabReport): string {
  const { curves } = report;
  const at = (curve: (typeof curves)[number], values: readonly number[], kind: string) =>
    curve.shares.map((share, i) => ({
      share,
      energy: values[i]!,
      method: curve.method,
      role: curve.role,
      kind,
    }));
  const measured = curves.flatMap((curve) => at(curve, curve.energy, 'measured'));
  const limits = curves
    .filter(({ method }) => method === 'none' || method === 'rft')
    .flatMap((curve) => at(curve, curve.gaussian, 'Gaussian'));
  return draw({
    color: colors(report),
    x: { type: 'log', label: 'stored coefficients, as a share of the weights', tickFormat: plain },
    y: { label: 'share of the energy', grid: true },
    fy: { label: null },
    marginRight: 130,
    height: 220 * new Set(curves.map(({ role }) => role)).size,
    marks: [
      Plot.lineY(limits, {
        x: 'share',
        y: 'energy',
        fy: 'role',
        z: 'method',
        strokeDasharray: '4',
        stroke: 'gray',
      }),
      Plot.lineY(measured, { x: 'share', y: 'energy', fy: 'role', z: 'method', stroke: 'method' }),
    ],
  });
}
