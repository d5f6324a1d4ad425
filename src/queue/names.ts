import { InputError } from '../core/errors.js';

/** The queue of groups; its metadata also lists workers and kinds. */
export const GROUPS = 'weightpress';
const KIND = /^[a-z][a-z0-9-]*$/;

/** Returns the queue of a kind of job: one per kind, so that workers can serve only some. */
export function queueOf(kind: string): string {
  if (!KIND.test(kind))
    throw new InputError(`a kind of job: expected small letters, digits and -, found "${kind}"`);
  return `${GROUPS}-${kind}`;
}

/** Fields of the metadata of {@link GROUPS}. */
export const workerField = (id: string) => `worker:${id}`;
export const kindField = (kind: string) => `kind:${kind}`;
