import { codecOf, isLossyCodec, LOSSLESS, TRANSFORM, TRELLIS } from '../codecs/codec.js';
import { DTYPE_BYTES, type Dtype, elementCount, isDtype } from '../core/dtype.js';
import { InputError, IntegrityError } from '../core/errors.js';
import { problemOfPath } from '../core/file-name.js';
import type { LeftOut } from '../core/folder.js';
import { isPlainObject, kindOf } from '../core/json.js';
import { sumOf } from '../core/sum.js';
import type { StoredBase, TensorBase } from './base.js';
import { FILE_HEADER_BYTES, FRAME_HEADER_BYTES, FRAME_LIMIT_BYTES, pieceCount } from './frames.js';

/** A file stored in pieces. `frames`: their lengths, including frame headers. */
export interface StoredFile {
  /** Path relative to the folder, separated by `/`. */
  readonly name: string;
  readonly length: number;
  /** Bytes in the original, if its format was another one. */
  readonly sourceLength?: number;
  readonly sha256: string;
  readonly frames: readonly number[];
}

/** An original weight file: the frames of its header, and its number of tensors. */
export interface StoredWeightFile extends StoredFile {
  /** `safetensors`, `pytorch`, `gguf`, or `bytes` for a file that was not parsed. */
  readonly format: string;
  /** Why it was not parsed, if its name is one of a weight file. */
  readonly note?: string;
  /** False for weights outside of the model: of another module, a copy in another format, optimizer states. */
  readonly isModel: boolean;
  readonly tensors: number;
  /** Number of header bytes before each tensor, and after the last one; if missing, all are at the start. */
  readonly between?: readonly number[];
}

export interface StoredTensorEntry {
  /** Unique in its weight file. */
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly role: string;
  readonly codec: string;
  /** SHA-256 of the decoded bytes; for a duplicate, that of the stored tensor. */
  readonly sha256: string;
  /** Start of its first frame, and the lengths of its frames. For a duplicate, those of the stored tensor. */
  readonly offset: number;
  readonly frames: readonly number[];
  /** Bytes in the original, if its format was another one. */
  readonly sourceLength?: number;
  /** If elements are bytes of another encoding: the number of weights, and the encoding's name. */
  readonly weights?: number;
  readonly encoding?: string;
  /** Relative squared error of a lossy tensor, measured when the file was written. */
  readonly error?: number;
  /** The tensor of the file's base that it is a difference from. */
  readonly base?: TensorBase;
  /** Index of an earlier tensor with the same bytes. */
  readonly sameAs?: number;
}

/** The directory of a file (spec/wpk-v1.md). Member names are those of the JSON. */
export interface Directory {
  readonly generator: string;
  readonly source: string;
  readonly options: Readonly<Record<string, unknown>>;
  readonly sideFiles: readonly StoredFile[];
  readonly weightFiles: readonly StoredWeightFile[];
  readonly tensors: readonly StoredTensorEntry[];
  /** Empty folders. */
  readonly emptyFolders: readonly string[];
  /** Files of the original that are not stored, and why. */
  readonly leftOut: readonly LeftOut[];
  /** What is needed to decode the tensors that have a base. */
  readonly base?: StoredBase;
  /** Length of the frame of tables that lossy tensors share; 0 if there is none. */
  readonly tables: number;
  readonly quality?: Readonly<Record<string, unknown>>;
  /** Difference of a lossy file's weights from the original's, measured when the file was written. */
  readonly weightError?: Readonly<Record<string, unknown>>;
}

/** A transformed tensor may decode to this many times the bytes of its frames, and in any case to ALWAYS_TRANSFORMED_BYTES. */
const TRANSFORM_EXPANSION = 2000;
const ALWAYS_TRANSFORMED_BYTES = 2 ** 24;

/** Maximum bytes of a weight file outside of tensors: they are held in memory. */
export const HEADER_LIMIT_BYTES = 2 ** 26;
/** Maximum number of tensors in a file. */
export const MAX_TENSORS = 500_000;
/** Maximum number of dimensions of a tensor. */
export const MAX_DIMENSIONS = 256;
const SAFETENSORS = 'safetensors';

/**
 * Parses and checks a directory: types, names, limits, and that its frames cover the file from the end of the manifest
 * to the directory without gaps or overlaps.
 * @throws {InputError} naming the wrong member.
 */
export function parseDirectory(
  value: Readonly<Record<string, unknown>>,
  file: string,
  manifestEnd: number,
  directoryStart: number,
): Directory {
  const check = new Check(file);
  const sideFiles = check.list(value, 'sideFiles').map((entry) => check.file(entry));
  for (const file of sideFiles) check.pieces(file, file.length);
  const weightFiles = check.list(value, 'weightFiles').map((entry) => check.weightFile(entry));
  const tensors: StoredTensorEntry[] = [];
  for (const entry of check.list(value, 'tensors')) tensors.push(check.tensor(entry, tensors));
  const emptyFolders = check.optionalList(value, 'emptyFolders').map((name) => check.path(name));
  check.paths([...sideFiles, ...weightFiles], emptyFolders);
  const counted = sumOf(weightFiles, ({ tensors: n }) => n);
  if (counted !== tensors.length)
    check.fail(`expected ${counted} tensors as in weightFiles, found ${tensors.length}`);
  let first = 0;
  for (const file of weightFiles) {
    check.tensorsOf(file, tensors.slice(first, first + file.tensors));
    first += file.tensors;
  }
  let next = manifestEnd;
  for (const { frames } of [...sideFiles, ...weightFiles]) next += total(frames);
  const tables = value.tables === undefined ? 0 : total(check.frames([value.tables], 'tables'));
  next += tables;
  if (!tables && tensors.some(({ codec }) => codec === TRELLIS))
    check.fail('it has lossy tensors, but no tables');
  for (const { name, offset, frames, sameAs } of tensors) {
    if (sameAs !== undefined) continue;
    if (offset !== next)
      check.fail(`offset of tensor ${JSON.stringify(name)} is ${offset}, expected ${next}`);
    next += total(frames);
  }
  if (next !== directoryStart)
    check.fail(`frames end at ${next}, but the directory starts at ${directoryStart}`);
  const { quality, weightError } = value;
  const base = check.storedBase(value.base, tensors);
  return {
    generator: check.text(value.generator, 'generator'),
    source: check.text(value.source, 'source'),
    options: check.object(value.options, 'options'),
    sideFiles,
    weightFiles,
    tensors,
    emptyFolders,
    leftOut: check.optionalList(value, 'leftOut').map((entry) => check.leftOut(entry)),
    tables,
    ...(base && { base }),
    ...(quality === undefined ? {} : { quality: check.object(quality, 'quality') }),
    ...(weightError === undefined ? {} : { weightError: check.object(weightError, 'weightError') }),
  };
}

/**
 * Splits the bytes of a weight file outside of tensors into those before each of its `tensors`, and those after the last.
 * @throws {IntegrityError} when the lengths in `between` do not sum to that of `bytes`.
 */
export function splitHeader(
  bytes: Uint8Array,
  between: readonly number[] = [bytes.length],
  tensors: number,
): Uint8Array[] {
  if (total(between) !== bytes.length)
    throw new IntegrityError(`a weight file's header has ${bytes.length} bytes, expected ${total(between)}`);
  let next = 0;
  return Array.from({ length: tensors + 1 }, (_, i) => {
    const start = next;
    next += between[i] ?? 0;
    return bytes.slice(start, next);
  });
}

/** Returns the decoded bytes of a tensor. */
export function bytesOf({ dtype, shape }: Pick<StoredTensorEntry, 'dtype' | 'shape'>): number {
  return elementCount(shape) * DTYPE_BYTES[dtype];
}

/** Returns the bytes of all files that a .wpk restores. */
export function restoredBytes({
  sideFiles,
  weightFiles,
}: Pick<Directory, 'sideFiles' | 'weightFiles'>): number {
  return total([...sideFiles, ...weightFiles].map(({ length }) => length));
}

/** Returns each weight file with its tensors, in order. */
export function tensorsByFile({ weightFiles, tensors }: Pick<Directory, 'weightFiles' | 'tensors'>) {
  let next = 0;
  return weightFiles.map((file) => {
    const first = next;
    next += file.tensors;
    return { file, tensors: tensors.slice(first, next) };
  });
}

/** Returns the sum of lengths. */
export function total(lengths: readonly number[]): number {
  return sumOf(lengths, (length) => length);
}

class Check {
  constructor(private readonly wpk: string) {}

  fail(what: string): never {
    throw new InputError(`the directory is malformed: ${what}`, { file: this.wpk });
  }

  object(value: unknown, member: string): Record<string, unknown> {
    return isPlainObject(value) ? value : this.fail(`${member} should be an object, found ${kindOf(value)}`);
  }

  list(value: Readonly<Record<string, unknown>>, member: string): unknown[] {
    const list = value[member];
    return Array.isArray(list) ? list : this.fail(`${member} should be an array, found ${kindOf(list)}`);
  }

  text(value: unknown, member: string): string {
    return typeof value === 'string'
      ? value
      : this.fail(`${member} should be a string, found ${kindOf(value)}`);
  }

  size(value: unknown, member: string): number {
    return Number.isSafeInteger(value) && (value as number) >= 0
      ? (value as number)
      : this.fail(`${member} should be a length, found ${JSON.stringify(value)}`);
  }

  digest(value: unknown, member: string): string {
    const text = this.text(value, member);
    return /^[0-9a-f]{64}$/.test(text) ? text : this.fail(`${member} is not a SHA-256`);
  }

  frames(value: unknown, member: string): number[] {
    if (!Array.isArray(value)) this.fail(`${member} should be an array, found ${kindOf(value)}`);
    return value.map((length) => {
      if (this.size(length, member) > FRAME_HEADER_BYTES + FRAME_LIMIT_BYTES || length < FRAME_HEADER_BYTES)
        this.fail(`${member} has a frame of ${length} bytes`);
      return length;
    });
  }

  optionalList(value: Readonly<Record<string, unknown>>, member: string): unknown[] {
    return value[member] === undefined ? [] : this.list(value, member);
  }

  path(value: unknown): string {
    const name = this.text(value, 'a file name');
    const problem = problemOfPath(name);
    return problem ? this.fail(`the file name ${JSON.stringify(name.slice(0, 300))} ${problem}`) : name;
  }

  leftOut(value: unknown): LeftOut {
    const { name, length, reason } = this.object(value, 'leftOut');
    return {
      name: this.text(name, 'name in leftOut'),
      ...(length !== undefined && { lengthBytes: this.size(length, 'length in leftOut') }),
      reason: this.text(reason, 'reason in leftOut'),
    };
  }

  weightFile(value: unknown): StoredWeightFile {
    const {
      tensors,
      between,
      format = SAFETENSORS,
      note,
      isModel = true,
    } = this.object(value, 'weightFiles');
    if (typeof isModel !== 'boolean') this.fail('isModel of a weight file should be true or false');
    const file = {
      ...this.file(value),
      format: this.text(format, 'format of a weight file'),
      ...(note !== undefined && { note: this.text(note, 'note of a weight file') }),
      isModel,
      tensors: this.size(tensors, 'weightFiles.tensors'),
    };
    return between === undefined ? file : { ...file, between: this.between(between, file) };
  }

  /** Checks that paths are unique, and none is both a file and a folder. */
  paths(files: readonly StoredFile[], emptyFolders: readonly string[]): void {
    const names = [...files.map(({ name }) => name), ...emptyFolders];
    this.unique('file', names);
    const folders = new Set<string>();
    for (const name of names)
      for (
        let at = name.lastIndexOf('/');
        at > 0 && !folders.has(name.slice(0, at));
        at = name.lastIndexOf('/', at - 1)
      )
        folders.add(name.slice(0, at));
    for (const name of names)
      if (folders.has(name)) this.fail(`${JSON.stringify(name)} is a file and a folder`);
  }

  /** Checks that the names in a weight file are unique, and that header and tensors sum to its length. */
  tensorsOf(file: StoredWeightFile, tensors: readonly StoredTensorEntry[]): void {
    this.unique(
      'tensor',
      tensors.map((tensor) => tensor.name),
    );
    const { name, length, between } = file;
    const header = length - sumOf(tensors, (tensor) => bytesOf(tensor));
    if (header < 0 || (between && total(between) !== header))
      this.fail(`header and tensors of ${name} do not sum to its ${length} bytes`);
    if (header > HEADER_LIMIT_BYTES)
      this.fail(`${name} has ${header} bytes outside of tensors, over the limit of ${HEADER_LIMIT_BYTES}`);
    this.pieces(file, header);
  }

  /** Checks the number of frames of a file that is stored in pieces. */
  pieces({ name, frames }: StoredFile, lengthBytes: number): void {
    if (frames.length !== pieceCount(lengthBytes))
      this.fail(`${name} has ${frames.length} frames, expected ${pieceCount(lengthBytes)}`);
  }

  file(value: unknown): StoredFile {
    const { name: path, length, sourceLength, sha256, frames } = this.object(value, 'a file');
    const name = this.path(path);
    return {
      name,
      length: this.size(length, `length of ${name}`),
      ...this.sourceLength(sourceLength, name),
      sha256: this.digest(sha256, `sha256 of ${name}`),
      frames: this.frames(frames, `frames of ${name}`),
    };
  }

  between(value: unknown, { name, tensors }: { name: string; tensors: number }): number[] {
    if (!Array.isArray(value) || value.length !== tensors + 1)
      this.fail(`between of ${name} should be ${tensors + 1} lengths`);
    return value.map((length) => this.size(length, `between of ${name}`));
  }

  /** Checks the file's base, which tensors with one need. A file without such tensors may name the base that it was compressed against. */
  storedBase(value: unknown, tensors: readonly StoredTensorEntry[]): StoredBase | undefined {
    if (!tensors.some(({ base }) => base)) return undefined;
    if (value === undefined) this.fail('it has tensors with a base, but no base');
    const { name, sha256 } = this.object(value, 'base');
    return { name: this.text(name, 'name of the base'), sha256: this.digest(sha256, 'sha256 of the base') };
  }

  private tensorBase(value: unknown, of: string): { base?: TensorBase } {
    if (value === undefined) return {};
    const { name, sha256 } = this.object(value, `base ${of}`);
    return {
      base: {
        name: this.text(name, `name of the base ${of}`),
        sha256: this.digest(sha256, `sha256 of the base ${of}`),
      },
    };
  }

  private encoding({ weights, encoding }: Record<string, unknown>, of: string) {
    if (weights === undefined) return {};
    return {
      weights: this.size(weights, `weights ${of}`),
      encoding: this.text(encoding, `encoding ${of}`),
    };
  }

  private sourceLength(value: unknown, name: string) {
    return value === undefined ? {} : { sourceLength: this.size(value, `sourceLength of ${name}`) };
  }

  tensor(value: unknown, earlier: readonly StoredTensorEntry[]): StoredTensorEntry {
    const entry = this.object(value, 'a tensor');
    const name = this.text(entry.name, 'name of a tensor');
    const of = `of tensor ${JSON.stringify(name)}`;
    const { dtype, shape, sameAs } = entry;
    if (!isDtype(dtype)) this.fail(`dtype ${of} is ${JSON.stringify(dtype)}`);
    if (!Array.isArray(shape) || shape.length > MAX_DIMENSIONS)
      this.fail(`shape ${of} is not a list of dimensions`);
    for (const dimension of shape) this.size(dimension, `shape ${of}`);
    const lengthBytes = elementCount(shape) * DTYPE_BYTES[dtype];
    if (!Number.isSafeInteger(lengthBytes)) this.fail(`shape ${of} is too large`);
    const role = this.text(entry.role, `role ${of}`);
    const own = {
      name,
      dtype,
      shape,
      role,
      ...this.sourceLength(entry.sourceLength, name),
      ...this.encoding(entry, of),
    };
    if (sameAs !== undefined) {
      const other = earlier[this.size(sameAs, `sameAs ${of}`)];
      if (
        !other ||
        other.sameAs !== undefined ||
        other.dtype !== dtype ||
        elementCount(other.shape) !== elementCount(shape)
      )
        this.fail(`sameAs ${of} is ${sameAs}, not an earlier tensor of the same dtype and size`);
      return { ...other, ...own, sameAs: sameAs as number };
    }
    const frames = this.frames(entry.frames, `frames ${of}`);
    const codec = entry.codec === undefined ? LOSSLESS : this.text(entry.codec, `codec ${of}`);
    const expected = codecOf({ ...own, codec }, this.wpk).frameCount(own);
    if (frames.length !== expected) this.fail(`expected ${expected} frames ${of}, found ${frames.length}`);
    if (codec === TRANSFORM) this.expansion(of, lengthBytes, total(frames));
    if (codec === TRANSFORM && entry.base !== undefined)
      this.fail(`a transform has no base, found one ${of}`);
    const { error } = entry;
    if (error !== undefined && !(typeof error === 'number' && error >= 0))
      this.fail(`error ${of} is ${JSON.stringify(error)}`);
    return {
      ...own,
      codec,
      ...(error !== undefined && { error }),
      ...this.tensorBase(entry.base, of),
      sha256: this.digest(entry.sha256, `sha256 ${of}`),
      offset: this.size(entry.offset, `offset ${of}`),
      frames,
    };
  }

  /** Limits the expansion of transformed tensors: decoding them is slow, so a small file must not expand to a large one. */
  expansion(of: string, lengthBytes: number, storedBytes: number): void {
    if (lengthBytes > Math.max(ALWAYS_TRANSFORMED_BYTES, TRANSFORM_EXPANSION * storedBytes))
      this.fail(`frames ${of} have ${storedBytes} bytes, too few for ${lengthBytes} decoded bytes`);
  }

  unique(what: string, names: readonly string[]): void {
    const seen = new Set<string>();
    for (const name of names) {
      if (seen.has(name)) this.fail(`${what} ${JSON.stringify(name)} is a duplicate`);
      seen.add(name);
    }
  }
}

/** Returns true for tensors stored by a lossy codec, but not for duplicates. */
export const isLossyTensor = ({ codec, sameAs }: StoredTensorEntry) =>
  isLossyCodec(codec) && sameAs === undefined;

/** Offset of the first frame, right after the file header. */
export const MANIFEST_START = FILE_HEADER_BYTES;
