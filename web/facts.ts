import type { BrowserModel } from '../dist/browser/open.js';
import { findLicence } from '../dist/formats/licence.js';
import { isLossless, measuredLoss, type Summary } from '../dist/press/summary.js';

/** Provenance, size, licence and the measured loss, as lines of a list. */
export async function factsOf(model: BrowserModel, summary: Summary): Promise<[string, string][]> {
  const { source, generator, options, fileBytes, originalBytes, tensors } = summary;
  const licence = await findLicence(model.sideFiles);
  return [
    ['made of', source],
    ['made by', `${generator}, ${JSON.stringify(options)}`],
    ['weights', count(tensors.reduce((sum, { elements }) => sum + elements, 0))],
    ['size', `${count(fileBytes)} of ${count(originalBytes)} bytes: ${share(fileBytes / originalBytes)}`],
    ['licence', licence.from ? `${licence.id} (${licence.from})` : 'no file says'],
    ['loss', lossOf(summary)],
  ];
}

function lossOf({ quality, tensors }: Summary): string {
  if (isLossless(tensors)) return 'none: every byte is restored';
  const loss = measuredLoss(quality);
  if (!loss) return 'lossy; it was not measured';
  const { kl, top1, perplexity, reference, text } = loss;
  return [
    `KL divergence ${kl.mean.toPrecision(3)} nats a token`,
    `same most probable token ${share(top1.agreement)}`,
    `perplexity ${reference.perplexity.toFixed(2)} to ${perplexity.toFixed(2)}`,
    `measured on ${text?.name ?? 'a text'}`,
  ].join('; ');
}

export const count = (n: number) => n.toLocaleString('en-US');
export const share = (part: number) => `${(100 * part).toFixed(2)} %`;
