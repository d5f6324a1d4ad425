import { InputError, MESSAGES, type Place } from '../core/errors.js';

/** An answer of a server that another try would not change. */
export class Refusal extends InputError {
  constructor(
    what: string,
    place: Place,
    /** Name of the error, as servers send it: `NoSuchKey`. */
    readonly answer: string,
    /** HTTP status; undefined if there was no answer. */
    readonly status: number | undefined,
    cause: Error,
  ) {
    super(what, place, { cause });
  }
}

/** What the SDK throws, or Node below it. */
interface Failure {
  readonly name?: string;
  readonly code?: unknown;
  readonly message?: string;
  readonly $metadata?: { readonly httpStatusCode?: number };
}

/** Answers of servers that are busy or failing, or that got something else than was sent. */
const TRANSIENT: ReadonlySet<string> = new Set([
  'BadDigest',
  'ConditionalRequestConflict',
  'IncompleteBody',
  'InternalError',
  'OperationAborted',
  'RequestTimeout',
  'RequestTimeTooSkewed', // the SDK has set its clock
  'ServiceUnavailable',
  'SlowDown',
  'SlowDownRead',
  'SlowDownWrite',
  'Throttling',
  'ThrottlingException',
  'TooManyRequests',
  'XAmzContentSHA256Mismatch',
]);
const TRANSIENT_STATUSES: ReadonlySet<unknown> = new Set([408, 425, 429, 500, 502, 503, 504]);
/** Error code that retrying does not change. */
const NO_SUCH_HOST = 'ENOTFOUND';

const EXPIRED: ReadonlySet<string> = new Set([
  'ExpiredToken',
  'ExpiredTokenException',
  'TokenRefreshRequired',
]);
const FULL: ReadonlySet<string> = new Set([
  'InsufficientStorage',
  'InsufficientStorageSpace',
  'NotEnoughSpace',
  'QuotaExceeded',
  'StorageFull',
  'XMinioAdminBucketQuotaExceeded',
  'XMinioStorageFull',
]);
const FULL_STATUS = 507;

const KEYS = 'AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY';
const RENEW = `sign in again, or set new ${KEYS} (and AWS_SESSION_TOKEN)`;
const REGION = 'the bucket is in another region: set AWS_REGION';

/** What the answers mean that a user can do something about. */
const ADVICE: Readonly<Record<string, string>> = {
  AuthorizationHeaderMalformed: REGION,
  PermanentRedirect: REGION,
  IllegalLocationConstraintException: REGION,
  InvalidAccessKeyId: 'the server does not know the access key: check AWS_ACCESS_KEY_ID, or the profile',
  InvalidClientTokenId: 'the server does not know the access key: check AWS_ACCESS_KEY_ID, or the profile',
  InvalidToken: `the server does not accept the session token: ${RENEW}`,
  SignatureDoesNotMatch:
    'the server does not accept the secret key: check AWS_SECRET_ACCESS_KEY, or the profile',
  CredentialsProviderError: `no credentials were found: set ${KEYS}, or AWS_PROFILE`,
  ...Object.fromEntries([...EXPIRED].map((answer) => [answer, `the credentials have expired: ${RENEW}`])),
};

/** Returns the name of an answer; of an answer without a body its status. */
function answerOf({ name = '', $metadata }: Failure): string {
  const status = $metadata?.httpStatusCode;
  return status !== undefined && /^(Error|Unknown|UnknownError|\d*)$/.test(name) ? String(status) : name;
}

/** Returns an error without the request and the answer, because they contain the session token. */
export function plainError(error: unknown): Error {
  const { name, message } = error as Error;
  return new Error(MESSAGES.clean(`${name}: ${message}`));
}

/** Returns whether an error says that credentials are too old. */
export function isExpired(error: unknown): boolean {
  return EXPIRED.has(answerOf(error as Failure));
}

/** Returns why another try may succeed; undefined if it would not. */
export function transientReason(error: unknown): string | undefined {
  const failure = error as Failure;
  const status = failure.$metadata?.httpStatusCode;
  const answer = answerOf(failure);
  if (isFull(answer, status)) return;
  if (TRANSIENT.has(answer) || TRANSIENT_STATUSES.has(status))
    return `the server answered ${[status, answer].filter((part) => part !== String(status)).join(' ')}`.trim();
  if (status !== undefined || failure.code === NO_SUCH_HOST) return;
  if (/^E[A-Z_]+$/.test(String(failure.code))) return `cannot be reached (${failure.code})`;
  return answer === 'TimeoutError' ? 'the server did not answer in time' : undefined;
}

const isFull = (answer: string, status: number | undefined) => FULL.has(answer) || status === FULL_STATUS;

/**
 * Converts an error that another try would not change.
 * @param action the request that failed. @param bucket its bucket. @returns errors that are none of the server's unchanged.
 */
export function refusalOf(error: unknown, action: string, bucket: string, place: Place): unknown {
  const failure = error as Failure;
  const status = failure.$metadata?.httpStatusCode;
  const answer = answerOf(failure);
  const refusal = (what: string) => new Refusal(what, place, answer, status, plainError(error));
  if (answer === 'NoSuchBucket') return refusal(`bucket ${bucket} does not exist`);
  if (isFull(answer, status)) return refusal(`the storage is full (${answer})`);
  const advice = ADVICE[answer];
  if (advice !== undefined) return refusal(advice);
  if (failure.message === 'Region is missing')
    return refusal('no region is set: set AWS_REGION; most servers other than AWS take us-east-1');
  if (answer === 'AccessDenied' || status === 403)
    return refusal(`access denied: the credentials do not allow ${action}`);
  if (failure.code === NO_SUCH_HOST)
    return refusal('no such host: check AWS_ENDPOINT_URL, AWS_REGION and the name of the bucket');
  if (status === undefined) return error;
  return refusal(`the server refuses ${action}: ${answer} ${(failure.message ?? '').slice(0, 200)}`.trim());
}

/** Returns whether an object is not there. A bucket that is not is another error. */
export function isMissing(error: unknown): boolean {
  return error instanceof Refusal && error.status === 404 && error.answer !== 'NoSuchBucket';
}

/** Returns whether an object has no bytes in the range that was asked for. */
export function isOutside(error: unknown): boolean {
  return error instanceof Refusal && error.status === 416;
}
