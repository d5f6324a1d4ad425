import type { ByteSource } from '../../core/byte-source.js';
import { count } from '../../core/count.js';
import { elementCount } from '../../core/dtype.js';
import { sumOf } from '../../core/sum.js';
import { type GgufHeader, type GgufValue, isGguf, readGgufHeader } from '../../models/gguf/header.js';
import { familyOf } from '../../models/gguf/names.js';
import { ownFiles } from '../../models/gguf/own-files.js';
import type { TensorNames } from './described.js';
import { digestOfTypes, type QuantizationRecord, readRecord } from './record.js';

/** The content of a GGUF file, read from its header. */
export interface GgufSummary {
  /** Distinguishes it from the summary of a .wpk. */
  readonly format: 'gguf';
  /** Its path or address. */
  readonly file: string;
  /** Bytes of the file. */
  readonly fileBytes: number;
  /** Number of weights of all tensors. */
  readonly weights: number;
  /** `general.architecture`. */
  readonly architecture: string | undefined;
  /** `general.type`: a `model`, or an `adapter` and the like. */
  readonly content: string;
  /** Whether it is a model that llama.cpp makes embeddings with. */
  readonly isEmbedding: boolean;
  /** What tensors are called; llama.cpp cannot load a file with the checkpoint's names. */
  readonly names: TensorNames;
  /** Which part of a split model it is, from 1, and of how many; undefined for a whole one. */
  readonly part:
    | {
        /** Its number, from 1. */
        readonly number: number;
        /** Number of parts. */
        readonly of: number;
      }
    | undefined;
  /** What the file says of its quantization; undefined for one that `quantize` did not write as it is. */
  readonly record: QuantizationRecord | undefined;
  /** Whether another program gave tensors other types after `quantize`: what the file says of itself is then not of it. */
  readonly isRequantized: boolean;
  /** Tensors by type, those of most bytes first. */
  readonly types: readonly GgufTypeSummary[];
  /** All tensors, in the order of the header. */
  readonly tensors: readonly GgufTensorSummary[];
}

/** Tensors of one type. */
export interface GgufTypeSummary {
  /** As ggml names it. */
  readonly type: string;
  /** Number of tensors of this type. */
  readonly tensors: number;
  /** Number of elements in them. */
  readonly weights: number;
  /** Bytes that they have in the file. */
  readonly bytes: number;
}

/** A tensor of a GGUF file. */
export interface GgufTensorSummary {
  /** Its name in the file. */
  readonly name: string;
  /** As ggml names it. */
  readonly type: string;
  /** Elements along each axis, those of a row last. */
  readonly shape: readonly number[];
  /** Number of its elements. */
  readonly weights: number;
  /** Bytes in the file. */
  readonly bytes: number;
}

/** Returns whether a file begins as GGUF. @throws {InputError} when it cannot be read; the source is then closed. */
export async function beginsAsGguf(source: ByteSource): Promise<boolean> {
  try {
    return isGguf(await source.read(0, Math.min(4, source.byteLength)));
  } catch (error) {
    await source.close();
    throw error;
  }
}

/** Summarizes an open GGUF file from its header. @throws {InputError} when it is malformed. */
export async function readGgufSummary(source: ByteSource): Promise<GgufSummary> {
  return summarizeGguf(await readGgufHeader(source), source);
}

/** Summarizes a GGUF file. @throws {InputError} when what it says of itself is malformed. */
export function summarizeGguf(
  header: GgufHeader,
  { name: file, byteLength }: Pick<ByteSource, 'name' | 'byteLength'>,
): GgufSummary {
  const { metadata } = header;
  const tensors = header.tensors.map(({ name, type, shape, start, end }) => ({
    name,
    type: type.name,
    shape,
    weights: elementCount(shape),
    bytes: end - start,
  }));
  const architecture = textOf(metadata.get('general.architecture'));
  const record = readRecord(metadata, file);
  const of = Number(metadata.get('split.count') ?? 1);
  const isRequantized =
    of === 1 &&
    record?.tensors !== undefined &&
    record.tensors !== digestOfTypes(tensors.map(({ name, type }) => [name, type]));
  return {
    format: 'gguf',
    file,
    fileBytes: byteLength,
    weights: sumOf(tensors, ({ weights }) => weights),
    architecture,
    content: textOf(metadata.get('general.type')) ?? 'model',
    isEmbedding: familyOf(header)?.isHeadless ?? metadata.has(`${architecture}.pooling_type`),
    names: ownFiles(metadata, file) ? 'checkpoint' : 'llama.cpp',
    part: of === 1 ? undefined : { number: Number(metadata.get('split.no') ?? 0) + 1, of },
    record: isRequantized ? undefined : record,
    isRequantized,
    types: byType(tensors),
    tensors,
  };
}

/** Adds up tensors by type, those of most bytes first. */
export function byType(
  tensors: readonly Pick<GgufTensorSummary, 'type' | 'weights' | 'bytes'>[],
): GgufTypeSummary[] {
  return [...new Set(tensors.map(({ type }) => type))]
    .map((type) => {
      const own = tensors.filter((tensor) => tensor.type === type);
      return {
        type,
        tensors: own.length,
        weights: sumOf(own, ({ weights }) => weights),
        bytes: sumOf(own, ({ bytes }) => bytes),
      };
    })
    .sort((a, b) => b.bytes - a.bytes);
}

/** Heads of {@link typeRows}. */
export const TYPE_HEADS = ['type', 'tensors', 'weights', 'bytes', 'bits per weight'] as const;

/** Returns the cells of a table of types: a row for each, and one for all tensors. */
export function typeRows(tensors: Parameters<typeof byType>[0]): {
  readonly types: readonly (readonly string[])[];
  readonly all: readonly string[];
} {
  const row = (name: string, number: number, weights: number, bytes: number) => [
    name,
    count(number),
    count(weights),
    count(bytes),
    weights ? ((bytes * 8) / weights).toFixed(3) : '',
  ];
  const totals = [sumOf(tensors, ({ weights }) => weights), sumOf(tensors, ({ bytes }) => bytes)] as const;
  return {
    types: byType(tensors).map((own) => row(own.type, own.tensors, own.weights, own.bytes)),
    all: row('all', tensors.length, ...totals),
  };
}

/** What decided the codes of a quantized file, as its record says. */
export interface CodesChosenBy {
  /** The calibration text, or the file of an importance matrix; undefined for rounding. */
  readonly name: string | undefined;
  readonly isImatrix: boolean;
  /** Of the text. */
  readonly sha256: string | undefined;
  /** Tokens in the statistics. */
  readonly tokens: number | undefined;
}

/** Reads what decided the codes; what is not of its type is left out. */
export function codesChosenBy({ calibration = {} }: QuantizationRecord): CodesChosenBy {
  const { text, imatrix, sha256, tokens } = calibration;
  const string = (value: unknown) => (typeof value === 'string' ? value : undefined);
  return {
    name: string(imatrix) ?? string(text),
    isImatrix: imatrix !== undefined,
    sha256: /^[0-9a-f]{64}$/.exec(string(sha256) ?? '')?.[0],
    tokens: Number.isSafeInteger(tokens) ? (tokens as number) : undefined,
  };
}

/** Names in a header are short. */
const MAX_NAME_CHARACTERS = 100;
const textOf = (value: GgufValue | undefined) =>
  typeof value === 'string' ? value.slice(0, MAX_NAME_CHARACTERS) : undefined;
