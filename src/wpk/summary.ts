import { exactKind, PACKED_KIND } from '../architectures/exact.js';
import { ROLES } from '../architectures/roles.js';
import { LOSSLESS } from '../codecs/codec.js';
import { DTYPE_BYTES, elementCount } from '../core/dtype.js';
import { canWiden } from '../core/floats.js';
import type { LeftOut } from '../core/folder.js';
import { sumOf } from '../core/sum.js';
import type { EmbeddingComparison } from '../evaluation/embedding/compare.js';
import type { Evaluation } from '../evaluation/evaluate.js';
import type { StoredBase } from './base.js';
import { type Directory, isLossyTensor, type StoredFile, type StoredTensorEntry } from './directory.js';
import { accountBytes } from './plan.js';
import type { Container } from './reader.js';
import { UNPARSED } from './stored/role.js';

/** Name of the row of files that hold no weights. */
export const SIDE_FILES = 'config, tokenizer, other files';

/** One row of a file's size table: a role, or the side files or the container, which have no elements. */
export interface SummaryRow {
  /** The role, or the name of the other part. */
  readonly part: string;
  /** Number of tensors of this role. */
  readonly tensors: number;
  /** Number of elements in them. */
  readonly elements: number;
  /** Number of stored elements: duplicate tensors have none. */
  readonly storedElements: number;
  /** Bytes in the original. */
  readonly originalBytes: number;
  /** Bytes in the .wpk. */
  readonly compressedBytes: number;
}

/** A tensor in a .wpk. */
export interface TensorSummary {
  /** Number of elements, or of weights if an element encodes several. */
  readonly elements: number;
  /** Bytes in the original. */
  readonly originalBytes: number;
  /** Bytes in the .wpk. */
  readonly compressedBytes: number;
  /** Its name. */
  readonly name: string;
  /** Its role in the model. */
  readonly role: string;
  /** Type of its elements, or the encoding whose bytes they are. */
  readonly dtype: string;
  /** Elements along each axis. */
  readonly shape: readonly number[];
  /** Its codec: `lossless`, `trellis` or `transform`. */
  readonly codec: string;
  /** SHA-256 of its decoded elements, hexadecimal. */
  readonly sha256: string;
  /** Relative squared error, measured when the file was written; undefined for lossless tensors. */
  readonly error: number | undefined;
  /** Name of the stored tensor that this one is a duplicate of; undefined for a stored tensor. */
  readonly sameAs: string | undefined;
}

/** The content of a .wpk, read from its directory. The `compressedBytes` of all rows sum to `fileBytes`. */
export interface Summary {
  /** Its path or address. */
  readonly file: string;
  /** The program that wrote it, and its version. */
  readonly generator: string;
  /** The compressed model: the name of a folder or file, or `user/name@commit`. */
  readonly source: string;
  /** Options of the compression. */
  readonly options: Readonly<Record<string, unknown>>;
  /** The measured loss, an {@link Evaluation} without paths and details; undefined if not measured. */
  readonly quality: Readonly<Record<string, unknown>> | undefined;
  /** Error of a lossy file: `relativeSquaredError` over all weights, and the `worst` tensor. */
  readonly weightError: Readonly<Record<string, unknown>> | undefined;
  /** The model that weights are differences from, which the file needs; its bytes are not counted. Undefined for a file that needs none. */
  readonly base: StoredBase | undefined;
  /** Weights stored by a lossy codec; undefined in a lossless file. */
  readonly quantized: QuantizedSummary | undefined;
  /** Number of weights of the model, for bits per weight: no masks, no integers, tied tensors once. */
  readonly weights: number;
  /** Bytes of the file. */
  readonly fileBytes: number;
  /** Bytes of the original weight files and side files. */
  readonly originalBytes: number;
  /** Bytes of the tensors in the original. */
  readonly tensorBytes: number;
  /** Bytes of the file without config, tokenizer and other side files. */
  readonly fileBytesWithoutSideFiles: number;
  /** Bytes by role. */
  readonly rows: readonly SummaryRow[];
  /** All tensors, in the order of the file. */
  readonly tensors: readonly TensorSummary[];
  /** Config, tokenizer and other side files. */
  readonly sideFiles: readonly FileSummary[];
  /** Weight files. */
  readonly weightFiles: readonly WeightFileSummary[];
  /** Empty folders. */
  readonly emptyFolders: readonly string[];
  /** Files of the original that are not stored, and why. */
  readonly leftOut: readonly LeftOut[];
}

/** A file that a .wpk restores. */
export interface FileSummary {
  /** Path relative to the folder, separated by `/`. */
  readonly name: string;
  /** Length in bytes. */
  readonly length: number;
  /** SHA-256 of its bytes, hexadecimal. */
  readonly sha256: string;
}

/** A weight file that a .wpk restores. */
export interface WeightFileSummary extends FileSummary {
  /** Its format; `bytes` for a file that was not parsed. */
  readonly format: string;
  /** Why it was not parsed, if its name is one of a weight file. */
  readonly note: string | undefined;
  /** False for weights outside of the model. */
  readonly isModel: boolean;
}

/** Weights stored by a lossy codec. */
export interface QuantizedSummary {
  /** Number of weights. */
  readonly weights: number;
  /** Bytes that they take, including tables. */
  readonly bytes: number;
}

/** Summarizes an open file from its directory, without decoding. */
export function summarize({ source, directory }: Container): Summary {
  const bytes = accountBytes(directory, source.byteLength);
  const { generator, options, quality, weightError, sideFiles, weightFiles, emptyFolders, leftOut } =
    directory;
  const tensors = directory.tensors.map((entry, i) => summaryOf(entry, directory, bytes.tensors[i]!));
  const tensorBytes = sumOf(tensors, ({ originalBytes }) => originalBytes);
  const sideBytes = sumOf(sideFiles, originalLength);
  const weightBytes = sumOf(weightFiles, originalLength);
  return {
    file: source.name,
    generator,
    source: directory.source,
    options,
    quality,
    weightError,
    base: directory.base,
    quantized: quantizedIn(directory, bytes.tensors),
    weights: sumOf(directory.tensors, weightsOf),
    fileBytes: source.byteLength,
    originalBytes: weightBytes + sideBytes,
    tensorBytes,
    fileBytesWithoutSideFiles: source.byteLength - bytes.sideFiles,
    rows: [
      ...roleRows(tensors),
      fileRow(SIDE_FILES, sideBytes, bytes.sideFiles),
      fileRow('headers, directory', weightBytes - tensorBytes, bytes.container),
    ],
    tensors,
    sideFiles: sideFiles.map(({ name, length, sha256 }) => ({ name, length, sha256 })),
    weightFiles: weightFiles.map(({ name, length, sha256, format, isModel, note }) => ({
      name,
      length,
      sha256,
      format,
      isModel,
      note,
    })),
    emptyFolders,
    leftOut,
  };
}

const originalLength = ({ length, sourceLength = length }: StoredFile) => sourceLength;

function summaryOf(entry: StoredTensorEntry, { tensors }: Directory, compressedBytes: number): TensorSummary {
  const { name, role, dtype, shape, codec, sha256, error, sameAs } = entry;
  return {
    name,
    role,
    dtype: entry.encoding ?? dtype,
    shape,
    codec,
    sha256,
    error,
    sameAs: sameAs === undefined ? undefined : tensors[sameAs]!.name,
    elements: role === UNPARSED ? 0 : (entry.weights ?? elementCount(shape)),
    originalBytes: entry.sourceLength ?? elementCount(shape) * DTYPE_BYTES[dtype],
    compressedBytes,
  };
}

/** Returns a row for each role that occurs, in the order of {@link ROLES}, other roles last. */
function roleRows(tensors: readonly TensorSummary[]): SummaryRow[] {
  const roles = new Set<string>([...ROLES, ...tensors.map(({ role }) => role)]);
  return [...roles].flatMap((role) => {
    const own = tensors.filter((tensor) => tensor.role === role);
    if (own.length === 0) return [];
    const stored = own.filter(({ sameAs }) => sameAs === undefined);
    return {
      part: role,
      tensors: own.length,
      elements: sumOf(own, ({ elements }) => elements),
      storedElements: sumOf(stored, ({ elements }) => elements),
      originalBytes: sumOf(own, ({ originalBytes }) => originalBytes),
      compressedBytes: sumOf(own, ({ compressedBytes }) => compressedBytes),
    };
  });
}

function fileRow(part: string, originalBytes: number, compressedBytes: number): SummaryRow {
  return { part, tensors: 0, elements: 0, storedElements: 0, originalBytes, compressedBytes };
}

function quantizedIn({ tensors, tables = 0 }: Directory, bytes: readonly number[]): Summary['quantized'] {
  const held = tensors.flatMap((tensor, i) =>
    isLossyTensor(tensor) ? [{ weights: elementCount(tensor.shape), bytes: bytes[i]! }] : [],
  );
  if (!held.length) return undefined;
  return {
    weights: sumOf(held, ({ weights }) => weights),
    bytes: held.reduce((sum, { bytes }) => sum + bytes, tables),
  };
}

/** Returns the number of weights in a tensor: none in masks, integers, scales of packed formats, and duplicates. */
function weightsOf({ name, shape, dtype, role, weights, sameAs }: StoredTensorEntry): number {
  if (sameAs !== undefined || role === 'buffer') return 0;
  if (weights !== undefined) return weights;
  const isWeight = canWiden(dtype) && exactKind({ name, shape }, undefined) !== PACKED_KIND;
  return isWeight ? elementCount(shape) : 0;
}

/** Returns true when all tensors are stored losslessly. */
export function isLossless(tensors: readonly { readonly codec: string }[]): boolean {
  return tensors.every(({ codec }) => codec === LOSSLESS);
}

/** A loss measured against the original and stored in a file. */
export type MeasuredLoss = (MeasuredDivergence | MeasuredCosine) & {
  /** The text that it was measured on. */
  readonly text?: { readonly name: string };
};

/** Of a model that predicts tokens. */
type MeasuredDivergence = Required<
  Pick<Evaluation, 'kind' | 'kl' | 'top1' | 'reference' | 'perplexity' | 'windows' | 'window'>
>;

/** Of an embedding model. */
type MeasuredCosine = Pick<EmbeddingComparison, 'kind' | 'cosine' | 'rank' | 'sentences'>;

/** Returns the loss in a file's `quality`; undefined if none was measured, or what should be a number is none. */
export function measuredLoss(quality: Summary['quality']): MeasuredLoss | undefined {
  const { kind, text, cosine, rank, kl, top1, reference, perplexity } = (quality ?? {}) as Partial<
    Omit<MeasuredDivergence, 'kind'> &
      Omit<MeasuredCosine, 'kind'> & { readonly kind: string; readonly text: MeasuredLoss['text'] }
  >;
  const numbers =
    kind === 'embedding'
      ? [cosine?.mean, cosine?.p1, cosine?.min, rank?.mean]
      : [kl?.mean, top1?.agreement, reference?.perplexity, perplexity];
  const isMeasured = numbers.every(Number.isFinite) && (!text || typeof text.name === 'string');
  return isMeasured ? (quality as unknown as MeasuredLoss) : undefined;
}
