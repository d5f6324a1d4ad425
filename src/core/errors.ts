/** Where something was found. */
export interface Place {
  /** A path, an address or a name on the Hub. */
  readonly file?: string;
  /** A tensor's name. */
  readonly tensor?: string;
  /** The first byte. */
  readonly start?: number;
  /** The byte behind the last. */
  readonly end?: number;
}

/** Bytes of a file. */
export interface ByteRange {
  /** The first byte. */
  readonly start: number;
  /** The byte behind the last; undefined where a single byte is meant. */
  readonly end: number | undefined;
}

/**
 * What a caller can do about an error, by its name:
 * - `exists`: the output exists already; `force` replaces it.
 * - `needs-text`: a divergence was asked for without a text to measure it on.
 * - `cannot-calibrate`: the model cannot be run, so a text cannot tell which errors matter; without one the model can be compressed.
 * - `resumable`: the connection broke; the same call with `resume` goes on where it stopped.
 * - `resume-differs`: what an interrupted run left is of another model or of other options; without `resume` it starts over.
 * - `unsupported-file`: a file of the folder cannot be stored; `exclude` leaves it out.
 * - `several-states`: a checkpoint holds several models; `state` chooses one.
 * - `expansion`: a file would restore more than `maxExpansion` allows.
 */
export type ErrorCode =
  | 'exists'
  | 'needs-text'
  | 'cannot-calibrate'
  | 'resumable'
  | 'resume-differs'
  | 'unsupported-file'
  | 'several-states'
  | 'expansion';

/** What an error is made with beside its message and place. */
export interface InputErrorOptions {
  /** The error that led to this one. */
  readonly cause?: unknown;
  /** See {@link ErrorCode}. */
  readonly code?: ErrorCode | undefined;
}

/**
 * Input that is not what it should be: a malformed, truncated or hostile file, or a request that cannot be met.
 * The message is one line: where, what, expected, found. The command line exits with 2.
 */
export class InputError extends Error {
  /** The class, for who has only the name. */
  override readonly name: string = 'InputError';
  /** Where it was found. */
  readonly place: Place;
  /** What the caller can do about it; undefined where only the message tells. */
  readonly code: ErrorCode | undefined;

  /** Makes the message of `what` and the place. */
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

  /** The file, as it was named by the caller; undefined where no file is at fault. */
  get file(): string | undefined {
    return this.place.file;
  }

  /** The tensor's name; undefined where no tensor is at fault. */
  get tensor(): string | undefined {
    return this.place.tensor;
  }

  /** Bytes `start` to `end` (exclusive) of the file, or of the tensor's elements where they were asked for; undefined where no bytes are at fault. */
  get range(): ByteRange | undefined {
    const { start, end } = this.place;
    return start === undefined ? undefined : { start, end };
  }
}

/** Stored bytes that differ from what their checksum or digest says. Of the commands, `verify` exits with 1 on it, the rest with 2. */
export class IntegrityError extends InputError {
  /** The class, for who has only the name. */
  override readonly name = 'IntegrityError';
}

/** A server that cannot be reached, or no longer: what was done so far is good, and a later call can go on with it. */
export class ConnectionError extends InputError {
  /** The class, for who has only the name. */
  override readonly name = 'ConnectionError';
}

/** Returns true for errors that are the input's fault, to be shown as one line without a stack. */
export function isInputError(error: unknown): error is InputError {
  return error instanceof InputError;
}

/**
 * The filter of every error message, since names come from files and words from servers. This default removes control characters;
 * outside of pages, `secrets.ts` installs one that also removes invisible characters and the token.
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
