import { parseAddress } from './address.js';
import type { QueueConnection } from './connection.js';
import type { Notify } from './outage.js';
import { connectPostgres } from './postgres.js';
import { connectRedis } from './redis.js';

const CONNECT = { redis: connectRedis, postgres: connectPostgres };

/**
 * Connects to the server of a queue: `redis://`, `rediss://`, `postgres://` or `postgresql://`.
 * @throws {InputError} when the address is wrong, a package is not installed, or the server refuses.
 * @throws {ConnectionError} when the server does not answer within some seconds.
 */
export async function openQueue(address: string, notify: Notify = () => {}): Promise<QueueConnection> {
  const parsed = parseAddress(address);
  return CONNECT[parsed.server](parsed, notify);
}
