import { plainLine } from '../core/plain-text.js';
import type { WeightError } from '../evaluation/compare.js';
import type { ExactGroup } from '../quantization/exact-tensors.js';
import { measuredLoss, type Summary } from '../wpk/summary.js';
import { bytes, count, percent, table } from './terminal.js';

/** The closing table: by role and part, with a sum that is the file's length. */
export function summaryTable({ rows, weights, fileBytes, originalBytes }: Summary): string {
  const line = (part: string, elements: number, original: number, compressed: number, per: number) => [
    part,
    elements ? count(elements) : '',
    count(original),
    count(compressed),
    compressed ? (original / compressed).toFixed(3) : '',
    per ? ((compressed * 8) / per).toFixed(3) : '',
  ];
  const elements = rows.reduce((sum, row) => sum + row.elements, 0);
  return table(
    ['', 'elements', 'original bytes', 'compressed bytes', 'ratio', 'bits per weight'],
    [
      ...rows.map((row) =>
        line(row.part, row.elements, row.originalBytes, row.compressedBytes, row.storedElements),
      ),
      null,
      line('the whole file', elements, originalBytes, fileBytes, weights),
    ],
  );
}

/** One line that states what share of the original is left, of everything and of the weights alone. */
export function summaryLine({
  fileBytes,
  originalBytes,
  fileBytesWithoutSideFiles,
  tensorBytes,
}: Summary): string {
  const share = originalBytes
    ? `: ${percent(fileBytes / originalBytes)} of the original, every byte counted`
    : '';
  const weights = tensorBytes
    ? `(without config, tokenizer and other files: ${percent(fileBytesWithoutSideFiles / tensorBytes)} of the tensors' bytes)`
    : '(no tensors)';
  return `${bytes(originalBytes)} -> ${bytes(fileBytes)}${share} ${weights}`;
}

/**
 * How far the weights that were quantized are from the original's, beside what no code of as many bits as they took can do:
 * 2^(-2R) for R bits per weight, the rate-distortion bound of a Gaussian source. Undefined where nothing was quantized.
 */
export function errorLine({ weightError, quantized }: Summary): string | undefined {
  if (!quantized || !weightError) return undefined;
  const bits = (quantized.bytes * 8) / quantized.weights;
  const { relativeSquaredError } = weightError as unknown as WeightError;
  return [
    `${count(quantized.weights)} weights quantized: relative squared error ${relativeSquaredError.toPrecision(4)} at ${bits.toPrecision(4)} bits per weight`,
    `the bound for Gaussian weights of one variance is ${(2 ** (-2 * bits)).toPrecision(4)}`,
  ].join('; ');
}

/** What a lossy file has as it was, kind by kind; undefined where that is nothing, or a file that is too old to say. */
export function exactLine({ options }: Summary): string | undefined {
  const { exact } = options as { readonly exact?: readonly ExactGroup[] };
  if (!Array.isArray(exact) || !exact.length) return undefined;
  const groups = exact.map(({ kind, tensors, names }: ExactGroup) => {
    const more = names.length > MAX_NAMES ? ', ...' : '';
    return `${count(tensors)} ${tensors === 1 ? 'tensor' : 'tensors'} (${kind}: ${names.slice(0, MAX_NAMES).join(', ')}${more})`;
  });
  return `kept exact: ${groups.join('; ')}`;
}

/** Names of a kind that are printed. */
const MAX_NAMES = 3;

/** What a lossy file was measured to lose, or that it was not measured. */
export function qualityLine(quality: Summary['quality']): string {
  const loss = measuredLoss(quality);
  if (!loss)
    return 'quality: not measured; weightpress evaluate FILE --against MODEL --text TEXT measures it';
  const { kl, top1, perplexity, reference, text } = loss;
  const error = kl.standardError === null ? '' : ` ± ${kl.standardError.toPrecision(2)}`;
  return [
    `quality (${plainLine(text?.name ?? 'a text')}): KL divergence ${kl.mean.toPrecision(4)}${error} nats a token`,
    `same most probable token ${percent(top1.agreement)}`,
    `perplexity ${reference.perplexity.toFixed(3)} -> ${perplexity.toFixed(3)}`,
  ].join(', ');
}

/** What is in the file without being understood, and what is not in it, a line each. */
export function keptLines({ weightFiles, leftOut }: Summary): string[] {
  return [
    ...weightFiles.flatMap(({ name, note }) =>
      note === undefined ? [] : [`kept as bytes: ${name}: ${note}`],
    ),
    ...leftOut.map(({ name, lengthBytes, reason }) => {
      const size = lengthBytes === undefined ? '' : `, ${bytes(lengthBytes)}`;
      return `left out: ${name}${size}: ${reason}`;
    }),
  ];
}
