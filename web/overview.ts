// The overview of a file: what it is, how large its parts are, what was lost.
import type { WeightError } from '../dist/evaluation/compare.js';
import { isLossless, measuredLoss, type Summary } from '../dist/wpk/summary.js';
import { colorsFor } from './colors.js';
import { bytes, count, digits, magnitude, share } from './numbers.js';
import { type Opened, sumsBy } from './opened.js';
import { descriptions, element, find, row } from './page.js';
import { swatch } from './treemap.js';

export function showOverview(opened: Opened): void {
  const { rows, weights, fileBytes, facts } = opened;
  const bits = weights ? ((8 * fileBytes) / weights).toFixed(2) : '–';
  find('figures').replaceChildren(
    ...[
      [magnitude(weights), 'weights', count(weights)],
      [count(rows.length), 'tensors', ''],
      [bytes(fileBytes), 'size', `${count(fileBytes)} bytes`],
      [bits, 'bits per weight', ''],
    ].map(([value, name, exact]) => {
      const made = element('div', [element('dt', name), element('dd', value)]);
      if (exact) made.title = exact;
      return made;
    }),
  );
  find('facts').replaceChildren(...descriptions(facts));
  showParts(opened);
  find('types').replaceChildren(
    ...sumsBy(rows, ({ dtype }) => dtype).map(([name, sum]) =>
      row([name, count(sum.tensors), magnitude(sum.elements), bytes(sum.bytes)]),
    ),
  );
}

/** Shows the whole file as one bar, and its table. */
function showParts({ parts, fileBytes }: Opened): void {
  const colorOf = colorsFor(parts.map(({ name }) => name));
  find('whole').replaceChildren(
    ...parts.map((part) => {
      const made = element('span');
      made.style.flexGrow = String(part.bytes / fileBytes);
      made.style.background = colorOf(part.name);
      made.title = `${part.name}: ${bytes(part.bytes)}`;
      return made;
    }),
  );
  find('roles').replaceChildren(
    ...parts.map((part) =>
      row([
        swatch(part.name, colorOf(part.name)),
        count(part.bytes),
        share(part.bytes / fileBytes),
        part.elements ? ((8 * part.bytes) / part.elements).toFixed(2) : '',
      ]),
    ),
  );
}

/** State of a file's blocks. */
export type State = 'unchecked' | 'intact' | 'damaged';

const LOSSLESS: Readonly<Record<Exclude<State, 'damaged'>, string>> = {
  unchecked: 'Lossless according to the file; its blocks have not all been checked yet.',
  intact: 'Lossless: every byte of the original is restored.',
};

/** Shows the loss stored in a .wpk, or that the file is damaged; nothing for other files. */
export function showLoss(summary: Summary | undefined, state: State): void {
  find('loss-part').hidden = !summary;
  if (summary) find('loss').replaceChildren(lossOf(summary, state));
}

function lossOf({ quality, weightError, tensors }: Summary, state: State): HTMLElement {
  if (state === 'damaged')
    return element('p', 'The file is damaged: its content does not match its checksums.', 'damaged');
  if (isLossless(tensors)) return element('p', LOSSLESS[state]);
  const error = weightError as unknown as WeightError | undefined;
  const rows: [string, string][] = [];
  const loss = measuredLoss(quality);
  if (loss?.kind === 'embedding') {
    const { cosine, rank, text, sentences } = loss;
    rows.push(
      ['measured on', `${text?.name ?? 'a text'}: ${sentences} sentences`],
      ['mean cosine', `${cosine.mean.toFixed(5)}${margin(cosine.standardError)} between embeddings`],
      ['cosine by sentence', `1st percentile ${cosine.p1.toFixed(5)}, minimum ${cosine.min.toFixed(5)}`],
      ['rank agreement', `${rank.mean.toFixed(4)} of similarities`],
    );
  } else if (loss) {
    const { kl, top1, perplexity, reference, text, windows, window } = loss;
    rows.push(
      ['measured on', `${text?.name ?? 'a text'}: ${windows} windows of ${window} tokens`],
      ['KL divergence', `${digits(kl.mean)}${margin(kl.standardError)} nats per token`],
      [
        'KL by token',
        `median ${digits(kl.median)}, 99th percentile ${digits(kl.p99)}, maximum ${digits(kl.max)}`,
      ],
      ['same first choice', `${share(top1.agreement)} of the tokens`],
      ['perplexity', `${reference.perplexity.toFixed(2)} original, ${perplexity.toFixed(2)} compressed`],
    );
  }
  if (error) {
    const { relativeSquaredError, worst } = error;
    const largest = worst ? `; largest in ${worst.tensor}: ${digits(worst.relativeSquaredError)}` : '';
    rows.push(['squared error', `${digits(relativeSquaredError)}, relative${largest}`]);
  }
  const list = element('dl', descriptions(rows), 'entries');
  return loss ? list : element('div', [element('p', 'Lossy; the loss was not measured.'), list]);
}

const margin = (error: number | null) => (error === null ? '' : ` ± ${digits(error)}`);
