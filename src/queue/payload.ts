import { isPlainObject } from '../core/json.js';
import type { Identity, Job, Json } from './job.js';

/** What the queue carries of a job; its key is its name there. */
export interface Payload {
  readonly identity: Identity;
  readonly data: Json;
  readonly label: string;
  readonly memoryBytes: number;
  readonly limitSeconds: number;
}

/** Returns what the queue carries of a job. */
export function payloadOf({ data, label, memoryBytes, limitSeconds }: Job, identity: Identity): Payload {
  return { identity, data, label, memoryBytes, limitSeconds };
}

/** Returns the job that a queue carried; undefined if somebody else has put something else there. */
export function readPayload(
  key: string,
  kind: string,
  payload: unknown,
): { job: Job; identity: Identity } | undefined {
  if (!isPlainObject(payload) || !isPlainObject(payload.identity)) return undefined;
  const { identity, data, label, memoryBytes, limitSeconds } = payload as unknown as Payload;
  const whole =
    typeof identity.version === 'string' &&
    typeof identity.arithmetic === 'string' &&
    data !== undefined &&
    typeof label === 'string' &&
    typeof memoryBytes === 'number' &&
    typeof limitSeconds === 'number';
  return whole ? { job: { key, kind, data, label, memoryBytes, limitSeconds }, identity } : undefined;
}
