// What a file says of itself: where it comes from, its size and license, and its loss as it was measured.
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
    ['license', license.from ? `${license.id} (${license.from})` : 'no file says'],
  ]);
}

/** What is known of a file's blocks. */
export type State = 'unchecked' | 'sound' | 'damaged';

const LOSSLESS: Readonly<Record<Exclude<State, 'damaged'>, string>> = {
  unchecked: 'It says that it was compressed without loss; not all of its blocks were checked yet.',
  sound: 'Nothing: every byte of the original is restored.',
};

/** The quality report that is stored in the file; of a damaged one only that. */
export function lossOf({ quality, weightError, tensors }: Summary, state: State): HTMLElement {
  if (state === 'damaged')
    return element(
      'p',
      'It is damaged: what it holds is not what was compressed, whatever was lost before.',
      'damaged',
    );
  if (isLossless(tensors)) return element('p', LOSSLESS[state]);
  const error = weightError as unknown as WeightError | undefined;
  const rows: [string, string][] = [];
  const loss = measuredLoss(quality);
  if (loss) {
    const { kl, top1, perplexity, reference, text, windows, window } = loss;
    rows.push(
      ['measured on', `${text?.name ?? 'a text'}: ${windows} windows of ${window} tokens`],
      ['KL divergence', `${number(kl.mean)}${margin(kl.standardError)} nats a token`],
      [
        'of single tokens',
        `median ${number(kl.median)}, 99 % below ${number(kl.p99)}, most ${number(kl.max)}`,
      ],
      ['same first choice', `${share(top1.agreement)} of the tokens`],
      ['perplexity', `${reference.perplexity.toFixed(2)} before, ${perplexity.toFixed(2)} now`],
    );
  }
  if (error) {
    const { relativeSquaredError, worst } = error;
    const most = worst ? `; most in ${worst.tensor}: ${number(worst.relativeSquaredError)}` : '';
    rows.push(['squared error', `${number(relativeSquaredError)} of the weights' energy${most}`]);
  }
  const list = element('dl', descriptions(rows));
  return loss
    ? list
    : element('div', [element('p', 'It is lossy, and how it predicts was not measured.'), list]);
}

const number = (value: number) => String(Number(value.toPrecision(3)));
const margin = (error: number | null) => (error === null ? '' : ` ± ${number(error)}`);
