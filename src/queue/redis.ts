import type * as BullMQ from 'bullmq';
import type * as IORedis from 'ioredis';
import { ConnectionError, InputError } from '../core/errors.js';
import type { Address } from './address.js';
import { ANSWER_MS, KEEP_ALIVE_MS, type QueueConnection, REMEMBERED_SECONDS } from './connection.js';
import { Opened } from './opened.js';
import { type Notify, Outage, reasonOf } from './outage.js';
import { loadPackage } from './packages.js';
import { settlesWithin } from './wait.js';

const MAX_RECONNECT_MS = 2000;
/** Finished jobs that Redis remembers: it has them in memory. */
const REMEMBERED_JOBS = 1000;
/** Refusals that are about the user, the password or the database of the address. */
const REFUSED = /^(WRONGPASS|NOAUTH|NOPERM|ERR)\b/;

/** Connects to Redis or Valkey. @throws {InputError} when it refuses. @throws {ConnectionError} when it does not answer. */
export async function connectRedis(address: Address, notify: Notify): Promise<QueueConnection> {
  const bullmq = await loadPackage<typeof BullMQ>('bullmq', 'redis');
  const { Redis } = await loadPackage<typeof IORedis>('ioredis', 'redis');
  const { name } = address;
  const common = { connectTimeout: ANSWER_MS, keepAlive: KEEP_ALIVE_MS, disableClientInfo: true };
  await check(new Redis(address.full, { ...common, lazyConnect: true, ...ONCE }), name, notify);

  const outage = new Outage(name, notify);
  const client = new Redis(address.full, {
    ...common,
    maxRetriesPerRequest: null, // commands wait for the server
    retryStrategy: (times) => Math.min(50 * 2 ** Math.min(times, 10), MAX_RECONNECT_MS),
  });
  client.setMaxListeners(0);
  client.on('error', (error) => outage.begin(error));
  client.on('close', () => outage.begin(new Error('closed')));
  client.on('ready', () => outage.end());

  const opened = new Opened();
  const connection = client as unknown as BullMQ.ConnectionOptions;
  const options = { connection, skipVersionCheck: true };
  return {
    name,
    outage,
    remembered: { age: REMEMBERED_SECONDS, count: REMEMBERED_JOBS },
    queue: (queue) => opened.add(new bullmq.Queue(queue, options)),
    flows: () => opened.add(new bullmq.FlowProducer(options)),
    // without the second socket that would wait for jobs
    taker: (queue, more) =>
      opened.add(
        new bullmq.Worker(queue, null, { ...options, ...more }, (...args) =>
          bullmq.createRedisBackend(args[0], args[1]),
        ),
      ),
    events: (queue) => opened.add(new bullmq.QueueEvents(queue, options)),
    now: async () => {
      const [seconds, microseconds] = await client.time();
      return Number(seconds) * 1000 + Math.floor(Number(microseconds) / 1000);
    },
    close: async () => {
      outage.close();
      const closing = opened.close();
      if (client.status !== 'ready') client.disconnect(); // commands that wait are rejected
      await settlesWithin(closing, ANSWER_MS);
      client.disconnect();
    },
  };
}

/** Options of a connection that is not tried twice. */
const ONCE = { retryStrategy: () => null, maxRetriesPerRequest: 0, enableOfflineQueue: false };

async function check(client: IORedis.Redis, name: string, notify: Notify): Promise<void> {
  let failure: unknown;
  client.on('error', (error) => {
    failure ??= error;
  });
  try {
    const answered = (async () => {
      await client.connect();
      return await client.info();
    })();
    answered.catch(() => {});
    if (!(await settlesWithin(answered, ANSWER_MS)))
      throw new Error(`no answer within ${ANSWER_MS / 1000} s`);
    const policy = /^maxmemory_policy:(\S+)/m.exec(await answered)?.[1];
    if (failure) throw failure; // the database could not be selected
    if (policy && policy !== 'noeviction')
      notify(
        `${name}: removes jobs when its memory is full (maxmemory-policy ${policy}, expected noeviction)`,
      );
  } catch (error) {
    const cause = failure ?? error;
    const reason = reasonOf(cause);
    if (REFUSED.test(reason)) throw new InputError(`${name}: refused (${reason})`, {}, { cause });
    throw new ConnectionError(`${name}: cannot be reached (${reason})`, {}, { cause });
  } finally {
    client.disconnect();
  }
}
