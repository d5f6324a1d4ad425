import { plainLine } from '../core/plain-text.js';
import { sumOf } from '../core/sum.js';
import type { WeightError } from '../evaluation/compare.js';
import type { ExactGroup } from '../quantization/exact-tensors.js';
import { measuredLoss, SIDE_FILES, type Summary } from '../wpk/summary.js';
import { bytes, count, percent, table } from './format.js';

/**
 * Returns the table of bytes by role and part, at most 80 columns wide; its last row is the whole file. Bytes are exact for originals
 * below 10 GB.
 */
export function summaryTable({ rows, weights, fileBytes, originalBytes }: Summary): string {
  const size = originalBytes < 1e10 ? count : bytes;
  const line = (part: string, elements: number, original: number, compressed: number, per: number) => [
    part === SIDE_FILES ? 'other files' : part,
    elements ? count(elements) : '',
    size(original),
    size(compressed),
    compressed ? (original / compressed).toFixed(3) : '',
    per ? ((compressed * 8) / per).toFixed(3) : '',
  ];
  const elements = sumOf(rows, (row) => row.elements);
  return table(
    ['', 'elements', 'original\nbytes', 'compressed\nbytes', 'ratio', 'bits per\nweight'],
    [
      ...rows.map((row) =>
        line(row.part, row.elements, row.originalBytes, row.compressedBytes, row.storedElements),
      ),
      null,
      line('the whole file', elements, originalBytes, fileBytes, weights),
    ],
  );
}

/** Returns two lines with the compressed size as a share of the original, with and without side files. */
export function summaryLine({
  fileBytes,
  originalBytes,
  fileBytesWithoutSideFiles,
  tensorBytes,
}: Summary): string {
  const share = originalBytes
    ? `: ${percent(fileBytes / originalBytes)} of the original, all files counted`
    : '';
  const weights = tensorBytes
    ? `without config, tokenizer and other files: ${percent(fileBytesWithoutSideFiles / tensorBytes)} of the tensors' bytes`
    : 'no tensors';
  return `${bytes(originalBytes)} -> ${bytes(fileBytes)}${share}\n${weights}`;
}

/**
 * Returns the relative squared error of the quantized weights beside the rate-distortion bound of a Gaussian source, 2^(-2R) at R bits
 * per weight; the bound is not that of differences from a base. Undefined when nothing was quantized.
 */
export function errorLine({ weightError, quantized, base }: Summary): string | undefined {
  if (!quantized || !weightError) return undefined;
  const bits = (quantized.bytes * 8) / quantized.weights;
  const { relativeSquaredError } = weightError as unknown as WeightError;
  const quantizedAt = `${count(quantized.weights)} weights quantized: relative squared error ${relativeSquaredError.toPrecision(4)} at ${bits.toPrecision(4)} bits per weight`;
  if (base) return quantizedAt;
  return [
    quantizedAt,
    `the bound for Gaussian weights of one variance is ${(2 ** (-2 * bits)).toPrecision(4)}`,
  ].join('; ');
}

/** Says of a lossy file of packed weights what it was made of; undefined for others. */
export function packedLine({ options: { packed } }: Summary): string | undefined {
  if (typeof packed !== 'string') return undefined;
  return `made of packed weights (${packed}), read as floats; the original bytes are those of the packed files`;
}

/** Lists the tensors that a lossy file stores exactly, by kind; undefined when there are none or an older file does not record them. */
export function exactLine({ options }: Summary): string | undefined {
  const { exact } = options as { readonly exact?: readonly ExactGroup[] };
  if (!Array.isArray(exact) || !exact.length) return undefined;
  const groups = exact.map(({ kind, tensors, names }: ExactGroup) => {
    const more = names.length > MAX_NAMES ? ', ...' : '';
    return `${count(tensors)} ${tensors === 1 ? 'tensor' : 'tensors'} (${kind}: ${names.slice(0, MAX_NAMES).join(', ')}${more})`;
  });
  return `stored exactly: ${groups.join('; ')}`;
}

/** Tensor names printed per kind. */
const MAX_NAMES = 3;

/** Returns the measured loss of a lossy file in two lines, or that it was not measured. */
export function qualityLine(quality: Summary['quality']): string {
  const loss = measuredLoss(quality);
  if (!loss) return 'quality: not measured; use weightpress evaluate FILE --against MODEL --text TEXT';
  const name = plainLine(loss.text?.name ?? 'a text');
  const margin = ({ standardError: error }: { readonly standardError: number | null }) =>
    typeof error === 'number' ? ` ± ${error.toPrecision(2)}` : '';
  if (loss.kind === 'embedding') {
    const { cosine, rank } = loss;
    return [
      `quality (${name}): mean cosine ${cosine.mean.toFixed(5)}${margin(cosine)} between embeddings`,
      `1 % of the sentences below ${cosine.p1.toFixed(5)}, minimum ${cosine.min.toFixed(5)}; rank agreement of similarities ${rank.mean.toFixed(4)}`,
    ].join('\n');
  }
  const { kl, top1, perplexity, reference } = loss;
  return [
    `quality (${name}): KL divergence ${kl.mean.toPrecision(4)}${margin(kl)} nats per token`,
    `same most probable token ${percent(top1.agreement)}, perplexity ${reference.perplexity.toFixed(3)} -> ${perplexity.toFixed(3)}`,
  ].join('\n');
}

/** The reason of files that hold the weights in another format. */
const FURTHER_COPY = /^copy of the weights for /;

/** Returns one line per weight file that is stored as plain bytes, and per file that was left out. */
export function fileNotes({
  weightFiles,
  leftOut,
  base,
}: Pick<Summary, 'weightFiles' | 'leftOut'> & Partial<Pick<Summary, 'base'>>): string[] {
  return [
    ...(base
      ? [
          `stored as differences from ${plainLine(base.name)} (digest ${base.sha256.slice(0, 16)}), which it needs, and whose bytes are not counted`,
        ]
      : []),
    ...weightFiles.flatMap(({ name, note }) =>
      note === undefined ? [] : [`stored as bytes: ${name}: ${note}`],
    ),
    ...leftOut.map(({ name, lengthBytes, reason }) => {
      const size = lengthBytes === undefined ? '' : `, ${bytes(lengthBytes)}`;
      const hint = FURTHER_COPY.test(reason) ? '; --all includes it' : '';
      return `left out: ${name}${size}: ${reason}${hint}`;
    }),
  ];
}
