import { count } from '../core/count.js';
import type { LabPoint, LabReport } from './lab.js';
import { compactionCharts, divergenceChart, errorChart, methodsOf } from './lab-charts.js';
import { explanationOf } from './methods.js';
import { escapeHtml, htmlTable, page } from './page.js';

/** Returns the results of `lab` as one self-contained page, without scripts; it prints on two pages per model. */
export function labPage(reports: readonly LabReport[]): string {
  const title = `Transforms and quantizers on ${reports.map(({ model }) => model.split('/').at(-1)).join(', ')}`;
  return page(title, `<h1>${escapeHtml(title)}</h1>\n${reports.map(section).join('\n')}`);
}

function section(report: LabReport): string {
  const { points } = report;
  const methods = methodsOf(report);
  return `<section>
${introduction(report)}
${points.some(({ klNats }) => klNats !== undefined) ? divergence(report) : ''}
<h3>The methods</h3>
<dl class="methods">${methods.map((method) => `<div><dt>${escapeHtml(method)}</dt><dd>${explanationOf(method)}</dd></div>`).join('\n')}</dl>
<div class="beside">${errorChart(report)}
<p><strong>Squared error</strong> of the weights, as a share of their squares. The dashed line is 2<sup>−2R</sup>, the minimum at R bits for Gaussian weights of one variance. The error of the weights is not the loss of the model: a method that spends
its bits where the output depends on them can have the larger error here and the smaller divergence above.</p></div>
<div class="compaction"><div class="row">${compactionCharts(report).join('\n')}</div>
<p><strong>Energy</strong> in the largest coefficients. A transform helps where it gathers the energy in few of them. Dashed: independent Gaussian numbers, which no transform compacts; the lower line is for complex coefficients, of which there are twice as many.
Trained weights lie close to it.</p></div>
<div class="tables">
${pivot(report, 'Squared error', ({ relativeSquaredError }) => relativeSquaredError)}
${pivot(report, 'Perplexity', ({ perplexity }) => perplexity)}
${pivot(report, 'Bytes', ({ bytes }) => bytes, count)}
</div>
${sentences(report)}
</section>`;
}

function introduction(report: LabReport): string {
  const { model, matrices, weights, block, dimensions, coding, perplexity } = report;
  const coefficients = coding === 'kept' ? 'of which the largest are stored' : 'which are quantized';
  return `<h2>${escapeHtml(model)}</h2>
<p>${matrices} matrices with ${count(weights)} weights; perplexity of the original ${perplexity.toFixed(3)}. Transforms take blocks of ${block} weights in ${dimensions} dimension${dimensions > 1 ? 's' : ''} to coefficients,
${coefficients}. Ratios are of the matrices: all bytes that decoding them needs are counted; norms and biases are unchanged and not counted.</p>`;
}

function divergence(report: LabReport): string {
  return `<figure>${divergenceChart(report)}
<figcaption>How far the predictions are from the original's, on held-out text: lower is better. Both axes are logarithmic.</figcaption></figure>
${pivot(report, 'KL divergence, nats per token', ({ klNats }) => klNats)}`;
}

/** Returns a table of one measure: a row per method, a column per ratio. */
function pivot(
  report: LabReport,
  title: string,
  value: (point: LabPoint) => number | undefined,
  format = (number: number) => String(Number(number.toPrecision(3))),
): string {
  const { points } = report;
  const ratios = [...new Set(points.map(({ ratio }) => ratio))];
  const cell = (method: string, ratio: number) => {
    const point = points.find((entry) => entry.method === method && entry.ratio === ratio);
    const number = point && value(point);
    return number === undefined ? '–' : format(number);
  };
  const rows = methodsOf(report).map((method) => [method, ...ratios.map((ratio) => cell(method, ratio))]);
  return htmlTable([title, ...ratios.map((ratio) => `${ratio}:1`)], rows);
}

/** Returns what each decoded model writes, whole, those of one ratio together. */
function sentences(report: LabReport): string {
  if (report.sentence === undefined) return '';
  const methods = methodsOf(report);
  const rows = report.points
    .filter((point) => point.sentence !== undefined)
    .sort((a, b) => a.ratio - b.ratio || methods.indexOf(a.method) - methods.indexOf(b.method))
    .map((point) => [point.method, `${point.ratio}:1`, point.sentence!]);
  return `<div class="sentences">${htmlTable(['Method', 'ratio', 'what it writes'], [['original', '1:1', report.sentence], ...rows])}</div>`;
}
