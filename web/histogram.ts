// Draws the histogram of a tensor.
import type { Histogram } from '../dist/browser/distribution.js';
import { count, digits } from './numbers.js';
import { element, svg } from './page.js';

const [HEIGHT, TOP, BOTTOM] = [180, 8, 22];
const TICKS = 5;

/** Draws a histogram as wide as its figure. @param elements of the tensor, of which it may have counted a sample. */
export function drawHistogram(
  figure: HTMLElement,
  name: string,
  histogram: Histogram,
  elements: number,
): void {
  const { counts, first, width: step, unit } = histogram;
  const width = Math.max(240, figure.clientWidth);
  const highest = Math.max(...counts, 1);
  const bar = width / counts.length;
  const picture = svg('svg', { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: 'img' });
  picture.setAttribute('aria-label', `Histogram of ${name}: ${captionOf(histogram, elements)}`);
  const base = HEIGHT - BOTTOM;
  for (const [i, n] of counts.entries()) {
    const height = (n / highest) * (base - TOP);
    const isOdd = unit === 'steps' && Math.round(first + i) % 2 !== 0;
    const gap = bar > 5 ? 0.5 : 0;
    const made = svg('rect', {
      x: i * bar + gap,
      y: base - height,
      width: bar - 2 * gap,
      height,
      class: isOdd ? 'bar odd' : 'bar',
    });
    const middle = first + i * step;
    const range =
      unit === 'steps' ? `level ${middle}` : `${digits(middle - step / 2)} to ${digits(middle + step / 2)}`;
    made.append(svg('title', {}, `${range}: ${count(n)}`));
    picture.append(made);
  }
  picture.append(svg('line', { x1: 0, x2: width, y1: base, y2: base, class: 'axis' }));
  for (const tick of ticksOf(first, first + (counts.length - 1) * step)) {
    const x = ((tick - first) / step + 0.5) * bar;
    const anchor = x < 20 ? 'start' : x > width - 20 ? 'end' : 'middle';
    picture.append(svg('line', { x1: x, x2: x, y1: base, y2: base + 4, class: 'axis' }));
    picture.append(svg('text', { x, y: HEIGHT - 4, 'text-anchor': anchor, class: 'tick' }, digits(tick)));
  }
  figure.replaceChildren(picture, element('figcaption', captionOf(histogram, elements)));
}

/** Returns round numbers in a range, at most so many. */
function ticksOf(low: number, high: number): number[] {
  if (!(high > low)) return [low];
  const rough = (high - low) / TICKS;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough)!;
  const start = Math.ceil(low / step);
  return Array.from({ length: Math.floor(high / step) - start + 1 }, (_, i) => (start + i) * step);
}

/** Returns how many values the bins have, of how many, and what the levels are. */
function captionOf({ unit, counts, beyond }: Histogram, elements: number): string {
  const counted = counts.reduce((sum, n) => sum + n, beyond);
  const whole =
    counted === elements
      ? `${count(elements)} values`
      : `a sample of ${count(counted)} of ${count(elements)} values`;
  const outside = beyond ? `, ${count(beyond)} of them outside` : '';
  if (unit === 'weights') return `${whole}${outside}.`;
  const levels = counts.filter((n) => n > 0).length;
  return `${whole}${outside}, on ${levels} levels in steps: even ones of one quantizer, odd ones of the other, zero of both.`;
}
