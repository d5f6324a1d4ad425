// The chosen tensor: its facts and its histogram.
import type { Moments } from '../dist/browser/distribution.js';
import { isInputError } from '../dist/core/errors.js';
import { drawHistogram } from './histogram.js';
import { bytes, count, digits, shapeOf, share } from './numbers.js';
import type { Row } from './opened.js';
import { descriptions, element, find } from './page.js';

let drawing = new AbortController();
/** Draws the histogram again, as wide as its figure is now. */
let again = () => {};

/** Shows a tensor. @param whole bytes of the file. @param wrong called when its data is damaged or cannot be fetched. */
export async function showDetail(row: Row, whole: number, wrong: (error: unknown) => void): Promise<void> {
  drawing.abort();
  drawing = new AbortController();
  const { signal } = drawing;
  find('detail-name').textContent = row.name;
  find('detail-facts').replaceChildren(
    ...descriptions([
      ['shape', shapeOf(row.shape)],
      ['type', row.dtype],
      ['role', row.role],
      ['elements', count(row.elements)],
      ['size', `${bytes(row.bytes)}, ${share(row.bytes / whole)}`],
      ...row.facts,
    ]),
  );
  const figure = find('histogram');
  again = () => {};
  figure.replaceChildren(element('figcaption', 'Reading values …'));
  find('moments').replaceChildren();
  try {
    const histogram = await row.histogram(signal);
    if (signal.aborted) return;
    again = () => drawHistogram(figure, row.name, histogram, row.elements);
    again();
    if (histogram.moments) find('moments').replaceChildren(...descriptions(momentsOf(histogram.moments)));
  } catch (error) {
    if (signal.aborted) return;
    const said = isInputError(error) ? error.what : (error as Error).message;
    figure.replaceChildren(element('figcaption', `No histogram: ${said}.`));
    wrong(error);
  }
}

/** Draws the histogram again after the page has changed its width. */
export const redrawDetail = () => again();

/** Stops reading. */
export const stopDetail = () => drawing.abort();

function momentsOf({ mean, deviation, min, max, zeros, notFinite }: Moments): [string, string][] {
  return [
    ['mean', digits(mean)],
    ['deviation', digits(deviation)],
    ['minimum', digits(min)],
    ['maximum', digits(max)],
    ['zeros', count(zeros)],
    ...(notFinite ? [['NaN, infinite', count(notFinite)] as [string, string]] : []),
  ];
}
