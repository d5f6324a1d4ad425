import type { BrowserModel } from '../dist/browser/open.js';
import { accountBytes } from '../dist/container/plan.js';
import { elementCount } from '../dist/formats/dtype.js';
import { findLicence } from '../dist/formats/licence.js';

/** A part of the file: tensors of one role, or what is not a tensor. */
export interface Part {
  readonly name: string;
  readonly bytes: number;
  readonly bitsPerWeight: number | undefined;
}

/** The file by what it holds; the bytes sum to its length. */
export function partsOf({ container: { directory, source } }: BrowserModel): Part[] {
  const bytes = accountBytes(directory, source.byteLength);
  const roles = [...new Set(directory.tensors.map(({ role }) => role))];
  const parts = roles.map((role): Part => {
    let [taken, weights] = [0, 0];
    for (const [i, tensor] of directory.tensors.entries())
      if (tensor.role === role) {
        taken += bytes.tensors[i]!;
        weights += tensor.weights ?? elementCount(tensor.shape);
      }
    return { name: role, bytes: taken, bitsPerWeight: weights ? (8 * taken) / weights : undefined };
  });
  const others = { 'config, tokenizer, texts': bytes.sideFiles, 'headers, directory': bytes.container };
  for (const [name, taken] of Object.entries(others))
    parts.push({ name, bytes: taken, bitsPerWeight: undefined });
  return parts;
}

/** What was stored of a measurement. */
interface Quality {
  readonly kl: { readonly mean: number };
  readonly top1: { readonly agreement: number };
  readonly perplexity: number;
  readonly reference: { readonly perplexity: number };
  readonly text: { readonly name: string };
}

/** Provenance, size, licence and the measured loss, as lines of a list. */
export async function factsOf(model: BrowserModel): Promise<[string, string][]> {
  const { directory, source } = model.container;
  const original = [...directory.weightFiles, ...directory.sideFiles].reduce(
    (sum, { length, sourceLength = length }) => sum + sourceLength,
    0,
  );
  const weights = directory.tensors.reduce(
    (sum, { weights: n, shape }) => sum + (n ?? elementCount(shape)),
    0,
  );
  const licence = await findLicence(model.sideFiles);
  return [
    ['made of', directory.source],
    ['made by', `${directory.generator}, ${JSON.stringify(directory.options)}`],
    ['weights', count(weights)],
    [
      'size',
      `${count(source.byteLength)} of ${count(original)} bytes: ${share(source.byteLength / original)}`,
    ],
    ['licence', licence.from ? `${licence.id} (${licence.from})` : 'no file says'],
    ['loss', lossOf(directory)],
  ];
}

function lossOf({ quality, tensors }: BrowserModel['container']['directory']): string {
  if (tensors.every(({ codec }) => codec === 'lossless')) return 'none: every byte is restored';
  const { kl, top1, perplexity, reference, text } = (quality ?? {}) as Partial<Quality>;
  if (!kl || !top1 || !reference || perplexity === undefined) return 'lossy; it was not measured';
  return [
    `KL divergence ${kl.mean.toPrecision(3)} nats a token`,
    `same most probable token ${share(top1.agreement)}`,
    `perplexity ${reference.perplexity.toFixed(2)} to ${perplexity.toFixed(2)}`,
    `measured on ${text?.name ?? 'a text'}`,
  ].join('; ');
}

export const count = (n: number) => n.toLocaleString('en-US');
export const share = (part: number) => `${(100 * part).toFixed(2)} %`;
