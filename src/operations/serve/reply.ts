/** A body that is made while it is sent. */
export interface StreamedBody {
  readonly length: number;
  /** Yields the bytes, each chunk valid until the next is asked for. */
  chunks(): AsyncIterable<Uint8Array>;
  /** Is called when the body was sent, or will not be. */
  close(): void;
}

/** The answer to a request. */
export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | number>>;
  readonly body?: string | StreamedBody;
}

/** Codes in `X-Error-Code`, by which clients of the Hub know what is missing. */
export type ErrorCode = 'RepoNotFound' | 'RevisionNotFound' | 'EntryNotFound';

export function jsonReply(value: unknown, headers: Reply['headers'] = {}): Reply {
  return textReply(`${JSON.stringify(value)}\n`, 'application/json', headers);
}

export function textReply(body: string, type: string, headers: Reply['headers'] = {}): Reply {
  const length = Buffer.byteLength(body);
  return { status: 200, headers: { 'content-type': type, 'content-length': length, ...headers }, body };
}

/** Refuses a request with one line, in the header too: an answer to HEAD has no body. */
export function refusal(status: number, message: string, headers: Reply['headers'] = {}): Reply {
  const { headers: own, body } = jsonReply({ error: message });
  return { status, headers: { ...own, 'x-error-message': message, ...headers }, body: body! };
}

/** Says that something is not there. */
export function notFound(code: ErrorCode, message: string, headers: Reply['headers'] = {}): Reply {
  return refusal(404, message, { 'x-error-code': code, ...headers });
}
