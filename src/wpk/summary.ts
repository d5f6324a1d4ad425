import { exactKind, PACKED_KIND } from '../architectures/exact.js';
import { ROLES } from '../architectures/family.js';
import { LOSSLESS } from '../codecs/codec.js';
import { DTYPE_BYTES, elementCount } from '../core/dtype.js';
import { canWiden } from '../core/floats.js';
import type { LeftOut } from '../core/folder.js';
import { sumOf } from '../core/sum.js';
import type { Evaluation } from '../evaluation/evaluate.js';
import { type Directory, isLossyTensor, type StoredFile, type StoredTensorEntry } from './directory.js';
import { accountBytes } from './plan.js';
import type { Container } from './reader.js';
import { UNPARSED } from './stored/role.js';

/** One row of the table of a file: a role, or files and the container itself, which have no elements. */
export interface SummaryRow {
  /** The role, or what else it is. */
  readonly part: string;
  /** Tensors of this role. */
  readonly tensors: number;
  /** Elements in them. */
  readonly elements: number;
  /** Elements that take bytes of their own: none in tensors that are the same as another. */
  readonly storedElements: number;
  /** Bytes in the original. */
  readonly originalBytes: number;
  /** Bytes in the .wpk. */
  readonly compressedBytes: number;
}

/** A tensor in a .wpk. */
export interface TensorSummary {
  /** Elements, or weights where elements hold several. */
  readonly elements: number;
  /** Bytes in the original. */
  readonly originalBytes: number;
  /** Bytes in the .wpk. */
  readonly compressedBytes: number;
  /** Its name. */
  readonly name: string;
  /** What it is in the model. */
  readonly role: string;
  /** The type of its elements, or the encoding that they are the bytes of. */
  readonly dtype: string;
  /** Elements along each axis. */
  readonly shape: readonly number[];
  /** How it is coded: `lossless`, `trellis` or `transform`. */
  readonly codec: string;
  /** SHA-256 of its decoded elements, hexadecimal. */
  readonly sha256: string;
  /** Relative squared error, as measured when the file was made; undefined for lossless tensors. */
  readonly error: number | undefined;
  /** The tensor that is stored for this one too; undefined for one that is stored itself. */
  readonly sameAs: string | undefined;
}

/** What a .wpk holds, from its directory alone. The `compressedBytes` of all rows sum to `fileBytes`. */
export interface Summary {
  /** Its path or address. */
  readonly file: string;
  /** The program that made it, and its version. */
  readonly generator: string;
  /** What was compressed: the name of a folder or file, or `user/name@commit`. */
  readonly source: string;
  /** How it was compressed. */
  readonly options: Readonly<Record<string, unknown>>;
  /** The loss as it was measured, an {@link Evaluation} without paths; undefined where none was. */
  readonly quality: Readonly<Record<string, unknown>> | undefined;
  /** Of a lossy file: `relativeSquaredError` over all weights, and the `worst` tensor's. */
  readonly weightError: Readonly<Record<string, unknown>> | undefined;
  /** What a lossy codec holds; undefined in a lossless file. */
  readonly quantized: QuantizedSummary | undefined;
  /** Weights of the model: no masks and no integers, tied tensors once. What bits per weight are of. */
  readonly weights: number;
  /** Bytes of the file. */
  readonly fileBytes: number;
  /** Bytes of the original weight files and side files, as they lay on disk. */
  readonly originalBytes: number;
  /** Bytes of tensors alone in the original. */
  readonly tensorBytes: number;
  /** Bytes of the file without config, tokenizer and other side files. */
  readonly fileBytesWithoutSideFiles: number;
  /** Bytes by role. */
  readonly rows: readonly SummaryRow[];
  /** All tensors, in the order of the file. */
  readonly tensors: readonly TensorSummary[];
  /** Config, tokenizer and other files. */
  readonly sideFiles: readonly FileSummary[];
  /** Files of weights. */
  readonly weightFiles: readonly WeightFileSummary[];
  /** Folders without files. */
  readonly emptyFolders: readonly string[];
  /** Files of the original that are not stored, and why. */
  readonly leftOut: readonly LeftOut[];
}

/** A file that a .wpk restores. */
export interface FileSummary {
  /** Relative to the folder, its parts separated by `/`. */
  readonly name: string;
  /** Bytes in it. */
  readonly length: number;
  /** SHA-256 of these, hexadecimal. */
  readonly sha256: string;
}

/** A file of weights that a .wpk restores. */
export interface WeightFileSummary extends FileSummary {
  /** How it is read; `bytes` for one that is stored without being understood. */
  readonly format: string;
  /** Why it is not understood, where its name promises tensors. */
  readonly note: string | undefined;
  /** False for weights that are no part of the model. */
  readonly isModel: boolean;
}

/** What a lossy codec holds. */
export interface QuantizedSummary {
  /** Weights. */
  readonly weights: number;
  /** Bytes that they take, tables included. */
  readonly bytes: number;
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
  const sum = (items: readonly number[]) => sumOf(items, (n) => n);
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
    weights: sumOf(held, ({ weights }) => weights),
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
