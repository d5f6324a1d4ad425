import { InputError, IntegrityError } from '../errors.js';
import { DTYPE_BYTES, type Dtype, elementCount, isDtype } from '../formats/dtype.js';
import { isPlainFileName } from '../formats/file-name.js';
import { isPlainObject, kindOf, parseJsonObject } from '../formats/json.js';
import { isLossyCodec, LOSSLESS, layoutOf, TRELLIS } from './codecs.js';
import { FILE_HEADER_BYTES, FRAME_HEADER_BYTES, FRAME_LIMIT_BYTES } from './frames.js';

/** A file stored in pieces: its frames' lengths, headers included. */
export interface StoredFile {
  readonly name: string;
  readonly length: number;
  /** What it took in the original, where that was of another form. */
  readonly sourceLength?: number;
  readonly sha256: string;
  readonly frames: readonly number[];
}

/** An original safetensors file: the frames of its header, and how many of the tensors lie in it. */
export interface StoredWeightFile extends StoredFile {
  readonly tensors: number;
  /** How many of its header's bytes are before each tensor, and how many behind the last; without it all are in front. */
  readonly between?: readonly number[];
}

export interface StoredTensorEntry {
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

/** What docs/format.md calls the directory. Member names are those of the JSON. */
export interface Directory {
  readonly generator: string;
  readonly source: string;
  readonly options: Readonly<Record<string, unknown>>;
  readonly sideFiles: readonly StoredFile[];
  readonly weightFiles: readonly StoredWeightFile[];
  readonly tensors: readonly StoredTensorEntry[];
  /** Length of the frame of tables that lossy tensors share; 0 when there is none. */
  readonly tables: number;
  readonly quality?: Readonly<Record<string, unknown>>;
  /** Of a lossy file: how far its weights are from the original's, as measured when it was made. */
  readonly weightError?: Readonly<Record<string, unknown>>;
}

const MOST_DIMENSIONS = 64;

/**
 * Reads and checks a directory: kinds, names, limits, and that its frames tile the file from the end of the manifest
 * to the directory without gap or overlap.
 * @throws {InputError} naming the member that is wrong.
 */
export function parseDirectory(
  json: Uint8Array,
  file: string,
  manifestEnd: number,
  directoryStart: number,
): Directory {
  const check = new Check(file);
  const { value } = parseJsonObject(json, `${file} (directory)`);
  const sideFiles = check.list(value, 'sideFiles').map((entry) => check.file(entry));
  const weightFiles = check.list(value, 'weightFiles').map((entry) => {
    const { tensors, between } = check.object(entry, 'weightFiles');
    const file = { ...check.file(entry), tensors: check.size(tensors, 'weightFiles.tensors') };
    return between === undefined ? file : { ...file, between: check.between(between, file) };
  });
  const tensors: StoredTensorEntry[] = [];
  for (const entry of check.list(value, 'tensors')) tensors.push(check.tensor(entry, tensors));
  check.unique(
    'file',
    [...sideFiles, ...weightFiles].map(({ name }) => name),
  );
  check.unique(
    'tensor',
    tensors.map(({ name }) => name),
  );
  const counted = weightFiles.reduce((sum, { tensors: n }) => sum + n, 0);
  if (counted !== tensors.length)
    check.fail(`weight files have ${counted} tensors, the directory lists ${tensors.length}`);
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

/** Sum of lengths. */
export function total(lengths: readonly number[]): number {
  return lengths.reduce((sum, length) => sum + length, 0);
}

class Check {
  constructor(private readonly path: string) {}

  fail(what: string): never {
    throw new InputError(`the directory is malformed: ${what}`, { file: this.path });
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

  file(value: unknown): StoredFile {
    const { name, length, sourceLength, sha256, frames } = this.object(value, 'a file');
    if (!isPlainFileName(name)) this.fail(`${JSON.stringify(name)} is not a plain file name`);
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
    if (!Array.isArray(shape) || shape.length > MOST_DIMENSIONS)
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
    const expected = layoutOf({ ...own, codec }, this.path).frameCount(own);
    if (frames.length !== expected) this.fail(`frames ${of} are ${frames.length}, expected ${expected}`);
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

  unique(what: string, names: readonly string[]): void {
    const seen = new Set<string>();
    for (const name of names) {
      if (seen.has(name)) this.fail(`${what} ${JSON.stringify(name)} is listed twice`);
      seen.add(name);
    }
  }
}

/** True for tensors whose weights a lossy codec holds, each counted once: not for copies. */
export const isLossyTensor = ({ codec, sameAs }: StoredTensorEntry) =>
  isLossyCodec(codec) && sameAs === undefined;

/** The first frame's place: right after the file header. */
export const MANIFEST_START = FILE_HEADER_BYTES;
