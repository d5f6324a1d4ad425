// A file's source, size, license and measured loss.
import type { BrowserModel } from '../dist/browser/open.js';
import type { WeightError } from '../dist/evaluation/compare.js';
import { findLicense } from '../dist/models/license.js';
import { isLossless, measuredLoss, type Summary } from '../dist/wpk/summary.js';
import { count, descriptions, element, share } from './page.js';

export async function factsOf(model: BrowserModel, summary: Summary): Promise<HTMLElement[]> {
  const { source, generator, options, fileBytes, originalBytes, tensors } = summary;
  const license = await findLicense(model.sideFiles);
  const weights = tensors.reduce(
    (sum, { elements, sameAs }) => sum + (sameAs === undefined ? elements : 0),
    0,
  );
  return descriptions([
    ['made of', source],
    ['made by', `${generator}, ${JSON.stringify(options)}`],
    ['weights', `${count(weights)} in ${tensors.length} tensors`],
    [
      'size',
      `${count(fileBytes)} of ${count(originalBytes)} bytes${originalBytes ? `: ${share(fileBytes / originalBytes)}` : ''}`,
    ],
    ['license', license.from ? `${license.id} (${license.from})` : 'unknown'],
  ]);
}

/** State of a file's blocks. */
export type State = 'unchecked' | 'intact' | 'damaged';

const LOSSLESS: Readonly<Record<Exclude<State, 'damaged'>, string>> = {
  unchecked: 'Lossless according to the file; its blocks have not all been checked yet.',
  intact: 'Lossless: every byte of the original is restored.',
};

/** Returns the loss stored in the file, or that the file is damaged. */
export function lossOf({ quality, weightError, tensors }: Summary, state: State): HTMLElement {
  if (state === 'damaged')
    return element('p', 'The file is damaged: its content does not match its checksums.', 'damaged');
  if (isLossless(tensors)) return element('p', LOSSLESS[state]);
  const error = weightError as unknown as WeightError | undefined;
  const rows: [string, string][] = [];
  const loss = measuredLoss(quality);
  if (loss) {
    const { kl, top1, perplexity, reference, text, windows, window } = loss;
    rows.push(
      ['measured on', `${text?.name ?? 'a text'}: ${windows} windows of ${window} tokens`],
      ['KL divergence', `${number(kl.mean)}${margin(kl.standardError)} nats per token`],
      [
        'KL by token',
        `median ${number(kl.median)}, 99th percentile ${number(kl.p99)}, maximum ${number(kl.max)}`,
      ],
      ['same most probable token', `${share(top1.agreement)} of the tokens`],
      ['perplexity', `${reference.perplexity.toFixed(2)} original, ${perplexity.toFixed(2)} compressed`],
    );
  }
  if (error) {
    const { relativeSquaredError, worst } = error;
    const largest = worst ? `; largest in ${worst.tensor}: ${number(worst.relativeSquaredError)}` : '';
    rows.push(['relative squared error', `${number(relativeSquaredError)}${largest}`]);
  }
  const list = element('dl', descriptions(rows));
  return loss ? list : element('div', [element('p', 'Lossy; the loss was not measured.'), list]);
}

const number = (value: number) => String(Number(value.toPrecision(3)));
const margin = (error: number | null) => (error === null ? '' : ` ± ${number(error)}`);
