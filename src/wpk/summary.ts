import { exactKind, PACKED_KIND } from '../architectures/exact.js';
import { ROLES } from '../architectures/family.js';
import { LOSSLESS } from '../codecs/codec.js';
import { DTYPE_BYTES, elementCount } from '../core/dtype.js';
import { canWiden } from '../core/floats.js';
import type { LeftOut } from '../core/folder.js';
import type { Evaluation } from '../evaluation/evaluate.js';
import { type Directory, isLossyTensor, type StoredFile, type StoredTensorEntry } from './directory.js';
import { accountBytes } from './plan.js';
import type { Container } from './reader.js';
import { UNPARSED } from './stored/role.js';

/** One row of the closing table. `parts` without elements are files and the container itself. */
export interface SummaryRow {
  readonly part: string;
  readonly tensors: number;
  readonly elements: number;
  /** Elements that take bytes of their own: of tensors that are the same as another, none. */
  readonly storedElements: number;
  readonly originalBytes: number;
  readonly compressedBytes: number;
}

export interface TensorSummary extends Omit<SummaryRow, 'part' | 'tensors' | 'storedElements'> {
  readonly name: string;
  readonly role: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly codec: string;
  readonly sha256: string;
  /** Relative squared error of a lossy tensor, as measured when the file was made. */
  readonly error: number | undefined;
  readonly sameAs: string | undefined;
}

/** What a .wpk holds, from its directory alone. The rows' compressedBytes sum to the file's length. */
export interface Summary {
  readonly file: string;
  readonly generator: string;
  readonly source: string;
  readonly options: Readonly<Record<string, unknown>>;
  readonly quality: Readonly<Record<string, unknown>> | undefined;
  /** Of a lossy file: `relativeSquaredError` of all weights, and the `worst` tensor's. */
  readonly weightError: Readonly<Record<string, unknown>> | undefined;
  /** What a lossy codec holds: weights, and the bytes they take, tables included. Undefined in a lossless file. */
  readonly quantized: { readonly weights: number; readonly bytes: number } | undefined;
  /** Weights of the model: no masks and no integers, tied tensors once. What bits per weight are stated of. */
  readonly weights: number;
  readonly fileBytes: number;
  /** The original weight files and side files, as they lay on disk. */
  readonly originalBytes: number;
  /** Tensors alone, and the file without side files: what shares of the weights are stated of. */
  readonly tensorBytes: number;
  readonly fileBytesWithoutSideFiles: number;
  readonly rows: readonly SummaryRow[];
  readonly tensors: readonly TensorSummary[];
  readonly sideFiles: readonly FileSummary[];
  readonly weightFiles: readonly (FileSummary & {
    /** `bytes`: kept without being seen into. */
    readonly format: string;
    /** Why, where its name promises tensors. */
    readonly note: string | undefined;
    /** False for weights that are no part of the model. */
    readonly isModel: boolean;
  })[];
  readonly emptyFolders: readonly string[];
  /** What of the original is not in the file, and why. */
  readonly leftOut: readonly LeftOut[];
}

export interface FileSummary {
  readonly name: string;
  readonly length: number;
  readonly sha256: string;
}

/** Sums up an open file without decoding anything. */
export function summarize({ source, directory }: Container): Summary {
  const bytes = accountBytes(directory, source.byteLength);
  const tensors = directory.tensors.map(({ name, role, dtype, shape, codec, sha256, ...entry }, i) => ({
    name,
    role,
    dtype: entry.encoding ?? dtype,
    shape,
    codec,
    sha256,
    error: entry.error,
    sameAs: entry.sameAs === undefined ? undefined : directory.tensors[entry.sameAs]!.name,
    elements: role === UNPARSED ? 0 : (entry.weights ?? elementCount(shape)),
    originalBytes: entry.sourceLength ?? elementCount(shape) * DTYPE_BYTES[dtype],
    compressedBytes: bytes.tensors[i]!,
  }));
  const sum = (items: readonly number[]) => items.reduce((total, n) => total + n, 0);
  const tensorBytes = sum(tensors.map(({ originalBytes }) => originalBytes));
  const original = ({ length, sourceLength = length }: StoredFile) => sourceLength;
  const sideBytes = sum(directory.sideFiles.map(original));
  const weightBytes = sum(directory.weightFiles.map(original));
  const known: readonly string[] = ROLES;
  const roles = [
    ...known,
    ...new Set(tensors.map(({ role }) => role).filter((role) => !known.includes(role))),
  ];
  const rows = roles.flatMap((role) => {
    const of = tensors.filter((tensor) => tensor.role === role);
    if (of.length === 0) return [];
    const stored = of.filter(({ sameAs }) => sameAs === undefined);
    const add = (key: 'elements' | 'originalBytes' | 'compressedBytes') =>
      sum(of.map((tensor) => tensor[key]));
    return [
      {
        part: role,
        tensors: of.length,
        elements: add('elements'),
        storedElements: sum(stored.map(({ elements }) => elements)),
        originalBytes: add('originalBytes'),
        compressedBytes: add('compressedBytes'),
      },
    ];
  });
  const plain = { tensors: 0, elements: 0, storedElements: 0 };
  rows.push({
    part: 'config, tokenizer, other files',
    ...plain,
    originalBytes: sideBytes,
    compressedBytes: bytes.sideFiles,
  });
  rows.push({
    part: 'headers, directory',
    ...plain,
    originalBytes: weightBytes - tensorBytes,
    compressedBytes: bytes.container,
  });
  const { generator, options, quality, weightError, sideFiles, weightFiles } = directory;
  return {
    file: source.name,
    generator,
    source: directory.source,
    options,
    quality,
    weightError,
    quantized: quantizedIn(directory, bytes.tensors),
    weights: sum(directory.tensors.map(weightsOf)),
    fileBytes: source.byteLength,
    originalBytes: weightBytes + sideBytes,
    tensorBytes,
    fileBytesWithoutSideFiles: source.byteLength - bytes.sideFiles,
    rows,
    tensors,
    sideFiles: sideFiles.map(({ name, length, sha256 }) => ({ name, length, sha256 })),
    weightFiles: weightFiles.map(({ name, length, sha256, format, note, isModel }) => ({
      ...{ name, length, sha256, format, isModel },
      note,
    })),
    emptyFolders: directory.emptyFolders,
    leftOut: directory.leftOut,
  };
}

function quantizedIn({ tensors, tables = 0 }: Directory, bytes: readonly number[]): Summary['quantized'] {
  const held = tensors.flatMap((tensor, i) =>
    isLossyTensor(tensor) ? [{ weights: elementCount(tensor.shape), bytes: bytes[i]! }] : [],
  );
  if (!held.length) return undefined;
  return {
    weights: held.reduce((sum, { weights }) => sum + weights, 0),
    bytes: held.reduce((sum, { bytes }) => sum + bytes, tables),
  };
}

/** Weights in a tensor: none in masks, integers, what packed formats keep beside theirs, and copies. */
function weightsOf({ name, shape, dtype, role, weights, sameAs }: StoredTensorEntry): number {
  if (sameAs !== undefined || role === 'buffer') return 0;
  if (weights !== undefined) return weights;
  const isWeight = canWiden(dtype) && exactKind({ name, shape }, undefined) !== PACKED_KIND;
  return isWeight ? elementCount(shape) : 0;
}

/** True when everything in a file is as it was. */
export function isLossless(tensors: readonly { readonly codec: string }[]): boolean {
  return tensors.every(({ codec }) => codec === LOSSLESS);
}

/** A loss as it was measured against the original and stored in a file. */
export interface MeasuredLoss
  extends Required<Pick<Evaluation, 'kl' | 'top1' | 'reference' | 'perplexity' | 'windows' | 'window'>> {
  /** What it was measured on. */
  readonly text?: { readonly name: string };
}

/** What a file's `quality` says of its loss; undefined where none was measured. */
export function measuredLoss(quality: Summary['quality']): MeasuredLoss | undefined {
  const { kl, top1, reference, perplexity } = (quality ?? {}) as Partial<MeasuredLoss>;
  return kl && top1 && reference && perplexity !== undefined
    ? (quality as unknown as MeasuredLoss)
    : undefined;
}
