/** Where in a file something was found: the file, the tensor, the bytes `start` to `end` (exclusive). */
export interface Place {
  readonly file?: string;
  readonly tensor?: string;
  readonly start?: number;
  readonly end?: number;
}

/**
 * Input that is not what it should be: a malformed, truncated or hostile file, or a request that cannot be met.
 * The message is one line: what, where, expected, found. The command line exits with 2.
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

/** Stored bytes that differ from what their checksum or digest says. `verify` exits with 1 on it, the rest with 2. */
export class IntegrityError extends InputError {
  override readonly name = 'IntegrityError';
}

/** A server that cannot be reached, or no longer: what was done so far is good, and can be gone on with. */
export class ConnectionError extends InputError {
  override readonly name = 'ConnectionError';
}

/** True for errors that are the input's fault, to be shown as one line without a stack. */
export function isInputError(error: unknown): error is InputError {
  return error instanceof InputError;
}

/**
 * What every message goes through: names come from files, words from servers. Neither moves a terminal's cursor; outside of pages
 * `secrets.ts` lets nothing else through either that does more than be read, nor the token.
 */
export const MESSAGES = { clean: (message: string): string => message.replaceAll(/\p{Cc}+/gu, ' ') };

function withPlace(what: string, { file, tensor, start, end }: Place): string {
  const parts = [];
  if (file !== undefined) parts.push(file);
  if (tensor !== undefined) parts.push(`tensor ${JSON.stringify(tensor.slice(0, LONGEST_NAME))}`);
  if (start !== undefined) parts.push(end === undefined ? `byte ${start}` : `bytes ${start}-${end}`);
  return MESSAGES.clean(parts.length ? `${parts.join(', ')}: ${what}` : what);
}

const LONGEST_NAME = 200;
