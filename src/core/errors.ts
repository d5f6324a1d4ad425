/** A place in a file: the file, the tensor, the bytes `start` to `end` (exclusive). */
export interface Place {
  readonly file?: string;
  readonly tensor?: string;
  readonly start?: number;
  readonly end?: number;
}

/**
 * Bad input: a malformed, truncated or hostile file, or a request that cannot be met. The message is one line: where, what is wrong,
 * expected and found. The command line exits with code 2.
 */
export class InputError extends Error {
  override readonly name: string = 'InputError';
  readonly place: Place;
  constructor(
    /** The message without the place. */
    readonly what: string,
    place: Place = {},
    options?: ErrorOptions,
  ) {
    super(withPlace(what, place), options);
    this.place = place;
  }
}

/** Data that does not match its checksum or digest. `verify` exits with code 1 on it, other commands with 2. */
export class IntegrityError extends InputError {
  override readonly name = 'IntegrityError';
}

/** A failed connection to a server. Work done so far is valid, and the command can be continued. */
export class ConnectionError extends InputError {
  override readonly name = 'ConnectionError';
}

/** Returns whether an error is the input's fault and is shown as one line without a stack trace. */
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
