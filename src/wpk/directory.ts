import { isLossyCodec, LOSSLESS, layoutOf, TRANSFORM, TRELLIS } from '../codecs/codec.js';
import { DTYPE_BYTES, type Dtype, elementCount, isDtype } from '../core/dtype.js';
import { InputError, IntegrityError } from '../core/errors.js';
import { problemOfPath } from '../core/file-name.js';
import type { LeftOut } from '../core/folder.js';
import { isPlainObject, kindOf } from '../core/json.js';
import { sumOf } from '../core/sum.js';
import { FILE_HEADER_BYTES, FRAME_HEADER_BYTES, FRAME_LIMIT_BYTES, pieceCount } from './frames.js';

/** A file stored in pieces: its frames' lengths, headers included. */
export interface StoredFile {
  /** Relative to the folder, its parts separated by `/`. */
  readonly name: string;
  readonly length: number;
  /** What it took in the original, where that was of another form. */
  readonly sourceLength?: number;
  readonly sha256: string;
  readonly frames: readonly number[];
}

/** An original file of weights: the frames of its header, and how many of the tensors lie in it. */
export interface StoredWeightFile extends StoredFile {
  /** `safetensors`, `pytorch`, `gguf`, or `bytes` for one that could not be seen into. */
  readonly format: string;
  /** Why it could not be, where its name promises tensors. */
  readonly note?: string;
  /** False for weights that are no part of the model: of another module, another format, the training. */
  readonly isModel: boolean;
  readonly tensors: number;
  /** How many of its header's bytes are before each tensor, and how many behind the last; without it all are in front. */
  readonly between?: readonly number[];
}

export interface StoredTensorEntry {
  /** Unique in its weight file. */
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly role: string;
  readonly codec: string;
  /** Of the decoded bytes; for a tensor stored elsewhere, that one's. */
  readonly sha256: string;
  /** Where its first frame begins, and all frames' lengths. For a tensor stored elsewhere, that one's. */
  readonly offset: number;
  readonly frames: readonly number[];
  /** Bytes that it took in the original, where that was of another form. */
  readonly sourceLength?: number;
  /** Where elements are bytes of another encoding: how many weights they are, and its name. */
  readonly weights?: number;
  readonly encoding?: string;
  /** Of a lossy tensor: squared error over the sum of squares, as measured when the file was made. */
  readonly error?: number;
  /** Index of the earlier tensor whose bytes these are. */
  readonly sameAs?: number;
}

/** What spec/wpk-v1.md calls the directory. Member names are those of the JSON. */
export interface Directory {
  readonly generator: string;
  readonly source: string;
  readonly options: Readonly<Record<string, unknown>>;
  readonly sideFiles: readonly StoredFile[];
  readonly weightFiles: readonly StoredWeightFile[];
  readonly tensors: readonly StoredTensorEntry[];
  /** Folders without anything in them. */
  readonly emptyFolders: readonly string[];
  /** What was not taken along, and why. */
  readonly leftOut: readonly LeftOut[];
  /** Length of the frame of tables that lossy tensors share; 0 when there is none. */
  readonly tables: number;
  readonly quality?: Readonly<Record<string, unknown>>;
  /** Of a lossy file: how far its weights are from the original's, as measured when it was made. */
  readonly weightError?: Readonly<Record<string, unknown>>;
}

/** What a transformed tensor may decode to: so many times its frames, and always so many bytes. */
const TRANSFORM_EXPANSION = 2000;
const ALWAYS_TRANSFORMED_BYTES = 2 ** 24;

/** Bytes of a weight file that no tensor holds: they are held in memory. */
export const HEADER_LIMIT_BYTES = 2 ** 26;
/** Tensors of a file: a directory of more cannot be held against its limits. */
export const MAX_TENSORS = 500_000;
/** Dimensions of a tensor. */
export const MAX_DIMENSIONS = 256;
const SAFETENSORS = 'safetensors';

/**
 * Reads and checks a directory: kinds, names, limits, and that its frames tile the file from the end of the manifest
 * to the directory without gap or overlap.
 * @throws {InputError} naming the member that is wrong.
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
    check.fail(`weight files have ${counted} tensors, the directory lists ${tensors.length}`);
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
    check.fail('there are lossy tensors, but no tables');
  for (const { name, offset, frames, sameAs } of tensors) {
    if (sameAs !== undefined) continue;
    if (offset !== next)
      check.fail(`tensor ${JSON.stringify(name)} is said to begin at ${offset}, expected ${next}`);
    next += total(frames);
  }
  if (next !== directoryStart)
    check.fail(`frames end at ${next}, but the directory begins at ${directoryStart}`);
  const { quality, weightError } = value;
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
    ...(quality === undefined ? {} : { quality: check.object(quality, 'quality') }),
    ...(weightError === undefined ? {} : { weightError: check.object(weightError, 'weightError') }),
  };
}

/**
 * The bytes of a weight file that no tensor holds, cut into those before each of its `tensors` and those behind the last.
 * @throws {IntegrityError} when the lengths are not those of all of them.
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

/** Bytes that a tensor decodes to. */
export function bytesOf({ dtype, shape }: Pick<StoredTensorEntry, 'dtype' | 'shape'>): number {
  return elementCount(shape) * DTYPE_BYTES[dtype];
}

/** Bytes of everything that a file restores. */
export function restoredBytes({
  sideFiles,
  weightFiles,
}: Pick<Directory, 'sideFiles' | 'weightFiles'>): number {
  return total([...sideFiles, ...weightFiles].map(({ length }) => length));
}

/** The tensors of each weight file, in order. */
export function tensorsByFile({ weightFiles, tensors }: Pick<Directory, 'weightFiles' | 'tensors'>) {
  let next = 0;
  return weightFiles.map((file) => {
    const first = next;
    next += file.tensors;
    return { file, tensors: tensors.slice(first, next) };
  });
}

/** Sum of lengths. */
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

  /** Paths are different, and none is both a file and a folder. */
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

  /** Names are unique in a weight file, and its parts make up its length. */
  tensorsOf(file: StoredWeightFile, tensors: readonly StoredTensorEntry[]): void {
    this.unique(
      'tensor',
      tensors.map((tensor) => tensor.name),
    );
    const { name, length, between } = file;
    const header = length - sumOf(tensors, (tensor) => bytesOf(tensor));
    if (header < 0 || (between && total(between) !== header))
      this.fail(`the parts of ${name} do not have the ${length} bytes of the file`);
    if (header > HEADER_LIMIT_BYTES)
      this.fail(`${header} bytes of ${name} are in no tensor, over the limit of ${HEADER_LIMIT_BYTES}`);
    this.pieces(file, header);
  }

  /** A file that is stored in pieces has as many frames as its length takes. */
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
        this.fail(`sameAs ${of} is ${sameAs}, which is not an earlier tensor like it`);
      return { ...other, ...own, sameAs: sameAs as number };
    }
    const frames = this.frames(entry.frames, `frames ${of}`);
    const codec = entry.codec === undefined ? LOSSLESS : this.text(entry.codec, `codec ${of}`);
    const expected = layoutOf({ ...own, codec }, this.wpk).frameCount(own);
    if (frames.length !== expected) this.fail(`frames ${of} are ${frames.length}, expected ${expected}`);
    if (codec === TRANSFORM) this.expansion(of, lengthBytes, total(frames));
    const { error } = entry;
    if (error !== undefined && !(typeof error === 'number' && error >= 0))
      this.fail(`error ${of} is ${JSON.stringify(error)}`);
    return {
      ...own,
      codec,
      ...(error !== undefined && { error }),
      sha256: this.digest(entry.sha256, `sha256 ${of}`),
      offset: this.size(entry.offset, `offset ${of}`),
      frames,
    };
  }

  /** A transform's every weight costs many products, so nothing may come of next to nothing. */
  expansion(of: string, lengthBytes: number, storedBytes: number): void {
    if (lengthBytes > Math.max(ALWAYS_TRANSFORMED_BYTES, TRANSFORM_EXPANSION * storedBytes))
      this.fail(`frames ${of} are ${storedBytes} bytes, too few for the ${lengthBytes} that they stand for`);
  }

  unique(what: string, names: readonly string[]): void {
    const seen = new Set<string>();
    for (const name of names) {
      if (seen.has(name)) this.fail(`${what} ${JSON.stringify(name)} is a duplicate`);
      seen.add(name);
    }
  }
}

/** True for tensors whose weights a lossy codec holds, each counted once: not for copies. */
export const isLossyTensor = ({ codec, sameAs }: StoredTensorEntry) =>
  isLossyCodec(codec) && sameAs === undefined;

/** The first frame's place: right after the file header. */
export const MANIFEST_START = FILE_HEADER_BYTES;
