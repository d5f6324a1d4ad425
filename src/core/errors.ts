/** Location of an error. */
export interface Place {
  /** A path, an address or a name on the Hub. */
  readonly file?: string;
  /** A tensor's name. */
  readonly tensor?: string;
  /** The first byte. */
  readonly start?: number;
  /** End of the range, exclusive. */
  readonly end?: number;
}

/** Byte range of a file. */
export interface ByteRange {
  /** The first byte. */
  readonly start: number;
  /** End of the range, exclusive; undefined for a single byte. */
  readonly end: number | undefined;
}

/**
 * Codes of errors that a caller can act on:
 * - `exists`: the output already exists; pass `force` to replace it.
 * - `needs-text`: a budget in nats needs a text to measure the divergence on.
 * - `cannot-calibrate`: the model cannot be run, so it cannot be calibrated; it can be compressed without calibration.
 * - `resumable`: the connection was lost or the disk is full; the same call with `resume` continues.
 * - `resume-differs`: the interrupted run had another model or other options; start over without `resume`.
 * - `unsupported-file`: a file of the folder cannot be stored; leave it out with `exclude`.
 * - `several-states`: the checkpoint holds several models; select one with `state`.
 * - `expansion`: the file would restore more than `maxExpansion` allows.
 * - `needs-token`: a server that other machines reach needs a token.
 * - `needs-base`: the file is stored as differences from another model; name it with `base`.
 * - `no-gguf-family`: llama.cpp does not have the model's family; `quantizeGguf` can write a file with the checkpoint's names.
 */
export type ErrorCode =
  | 'exists'
  | 'needs-text'
  | 'cannot-calibrate'
  | 'resumable'
  | 'resume-differs'
  | 'unsupported-file'
  | 'several-states'
  | 'expansion'
  | 'needs-token'
  | 'needs-base'
  | 'no-gguf-family';

/** Options of an {@link InputError}. */
export interface InputErrorOptions {
  /** Underlying error. */
  readonly cause?: unknown;
  /** See {@link ErrorCode}. */
  readonly code?: ErrorCode | undefined;
}

/**
 * Invalid input: a malformed, truncated or hostile file, or a request that cannot be met. The message is one line: where, what,
 * expected, found. The command line exits with 2.
 */
export class InputError extends Error {
  /** Name of the class. */
  override readonly name: string = 'InputError';
  /** Location of the error. */
  readonly place: Place;
  /** Code for callers that can act on the error; undefined otherwise. */
  readonly code: ErrorCode | undefined;

  /** Builds the message from `what` and the place. */
  constructor(
    /** The message without the place. */
    readonly what: string,
    place: Place = {},
    { code, ...options }: InputErrorOptions = {},
  ) {
    super(withPlace(what, place), options);
    this.place = place;
    this.code = code;
  }

  /** File, as named by the caller; undefined if no file is involved. */
  get file(): string | undefined {
    return this.place.file;
  }

  /** Name of the tensor; undefined if no tensor is involved. */
  get tensor(): string | undefined {
    return this.place.tensor;
  }

  /** Byte range in the file, or in the tensor's elements; undefined if no range is involved. */
  get range(): ByteRange | undefined {
    const { start, end } = this.place;
    return start === undefined ? undefined : { start, end };
  }
}

/** Stored bytes that do not match their checksum or digest. `verify` exits with 1, other commands with 2. */
export class IntegrityError extends InputError {
  /** Name of the class. */
  override readonly name = 'IntegrityError';
}

/** A server that cannot be reached. Work done so far is valid, and a later call can continue it. */
export class ConnectionError extends InputError {
  /** Name of the class. */
  override readonly name = 'ConnectionError';
}

/** Returns true for errors caused by the input, which are shown as one line without a stack. */
export function isInputError(error: unknown): error is InputError {
  return error instanceof InputError;
}

/**
 * Filters every error message, because messages contain names from files and text from servers. The default removes control
 * characters; in Node, `secrets.ts` installs a filter that also removes invisible characters and access tokens.
 */
export const MESSAGES = { clean: (message: string): string => message.replaceAll(/\p{Cc}+/gu, ' ') };

function withPlace(what: string, { file, tensor, start, end }: Place): string {
  const parts = [];
  if (file !== undefined) parts.push(file);
  if (tensor !== undefined) parts.push(`tensor ${JSON.stringify(tensor.slice(0, MAX_NAME_LENGTH))}`);
  if (start !== undefined) parts.push(end === undefined ? `byte ${start}` : `bytes ${start}-${end}`);
  return MESSAGES.clean(parts.length ? `${parts.join(', ')}: ${what}` : what);
}

const MAX_NAME_LENGTH = 200;
