import * as Plot from '@observablehq/plot';
import type { LabReport } from './lab.js';
import { document, escapeHtml, htmlTable, page } from './page.js';

/** What `lab` measured as one page with plots that needs nothing else. */
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
dimension${dimensions > 1 ? 's' : ''}, coefficients ${coding}. A ratio is of the matrices alone: norms and biases stay as they are, all that is needed to
decode the matrices counts. Perplexity of the original: ${perplexity.toFixed(3)}.${sentence ? ` It writes: “${escapeHtml(sentence)}”` : ''}</p>
${figure(errorPlot(report), 'Relative squared error against bits a weight. The line is 2^(-2R), which no code can pass for Gaussian weights of one variance; a codec that minimizes the divergence instead may lie above one that it beats.')}
${reached.length ? figure(klPlot(report), 'KL divergence from the original, nats a token, against bits a weight.') : ''}
${figure(compactionPlot(report), 'Energy in the largest numbers, as many as a share of the weights. Dashed: independent Gaussian numbers. A complex transform has twice as many numbers, so its limit lies lower.')}
${htmlTable(['method', 'ratio', 'bits a weight', 'bytes', 'squared error', 'Gaussian bound', 'KL, nats', 'perplexity', 'what it writes'], rows)}`;
}

function figure(plot: string, caption: string): string {
  return `<figure>${plot}<figcaption>${escapeHtml(caption)}</figcaption></figure>`;
}

type Options = Parameters<typeof Plot.plot>[0];

/** An SVG, its classes and colors inlined, wide enough for a screen and shrunk on a phone. */
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

/** Methods in the order they were run, always in the same colors. */
function colors({ points }: LabReport) {
  return {
    legend: true,
    scheme: 'tableau10',
    domain: [...new Set(points.map(({ method }) => method))],
  } as const;
}

/** Ticks where the ladder's rungs are. */
function bitsAxis({ points }: LabReport) {
  const ticks = [...new Set(points.map(({ bitsPerWeight }) => bitsPerWeight))];
  return {
    type: 'log',
    label: 'bits a weight',
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
    x: { type: 'log', label: 'numbers kept, as a share of the weights', tickFormat: plain },
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
