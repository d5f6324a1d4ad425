import { ConnectionError, InputError, IntegrityError } from '../core/errors.js';

/** Error classes that are preserved across a channel, subclasses first. */
const CLASSES = { IntegrityError, ConnectionError, InputError, RangeError, TypeError, Error };

/** An error as plain data: messages between threads preserve neither the class of an error nor its fields. */
export interface ErrorRecord {
  readonly kind: keyof typeof CLASSES;
  readonly message: string;
  readonly stack: string | undefined;
  /** Own enumerable properties, such as `place` and `code`. */
  readonly fields: Readonly<Record<string, unknown>>;
  readonly cause?: ErrorRecord;
}

/** Converts a thrown value to plain data, including its causes. */
export function describeError(thrown: unknown): ErrorRecord {
  const error = thrown instanceof Error ? thrown : new Error(String(thrown));
  const kind = (Object.keys(CLASSES) as (keyof typeof CLASSES)[]).find(
    (key) => error instanceof CLASSES[key],
  )!;
  const { name, message, stack, cause } = error;
  const fields = { ...error, ...(name !== kind && { name }) };
  return { kind, message, stack, fields, ...(cause !== undefined && { cause: describeError(cause) }) };
}

/** Rebuilds an error of the nearest known class, with message, stack, fields and causes. */
export function rebuildError({ kind, message, stack, fields, cause }: ErrorRecord): Error {
  const options = cause && { cause: rebuildError(cause) };
  const { what, place } = fields as Partial<InputError>;
  const error =
    what === undefined
      ? new CLASSES[kind](message, options as never)
      : new (CLASSES[kind] as typeof InputError)(what, place, options);
  Object.defineProperty(error, 'stack', { value: stack, configurable: true, writable: true });
  return Object.assign(error, fields);
}
