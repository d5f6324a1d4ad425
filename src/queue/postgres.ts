import type * as BullMQ from 'bullmq';
import type * as Pg from 'pg';
import { ConnectionError, InputError } from '../core/errors.js';
import type { Address } from './address.js';
import { ANSWER_MS, KEEP_ALIVE_MS, type QueueConnection, REMEMBERED_SECONDS } from './connection.js';
import { Opened } from './opened.js';
import { isTransient, type Notify, Outage, reasonOf } from './outage.js';
import { loadPackage } from './packages.js';
import { settlesWithin } from './wait.js';

/** The schema of all tables. */
export const SCHEMA = 'weightpress';
/** Sockets of a process, without the one that listens. */
const MAX_SOCKETS = 4;
/** Time after which a query is given up, because the network has lost it. */
const QUERY_MS = 60_000;
const CLOCK = 'SELECT extract(epoch FROM clock_timestamp()) * 1000 AS now';
/** Locks end by the clocks of workers, unlike on Redis. */
const MAX_SKEW_MS = 5000;

/** Connects to PostgreSQL. @throws {InputError} when it refuses. @throws {ConnectionError} when it does not answer. */
export async function connectPostgres(address: Address, notify: Notify): Promise<QueueConnection> {
  const bullmq = await loadPackage<typeof BullMQ>('bullmq', 'postgres');
  const { default: pg } = await loadPackage<{ default: typeof Pg }>('pg', 'postgres');
  const { name } = address;
  const settings = {
    connectionString: address.full,
    connectionTimeoutMillis: ANSWER_MS,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_MS,
    query_timeout: QUERY_MS,
  };
  const skew = Date.now() - (await readClock(new pg.Client(settings), name));
  if (Math.abs(skew) > MAX_SKEW_MS)
    notify(
      `${name}: this machine's clock differs from the server's by ${Math.round(skew / 1000)} s, jobs may run twice`,
    );

  const outage = new Outage(name, notify);
  const server = new bullmq.PostgresConnection({
    ...settings,
    schema: SCHEMA,
    max: MAX_SOCKETS,
    migrate: true,
  });
  server.setMaxListeners(0);
  server.on('error', (error) => outage.begin(error));
  await server.waitUntilReady().catch(async (cause) => {
    await server.close();
    if (isTransient(cause))
      throw new ConnectionError(`${name}: cannot be reached (${reasonOf(cause)})`, {}, { cause });
    throw new InputError(`${name}: its tables cannot be made (${reasonOf(cause)})`, {}, { cause });
  });

  const opened = new Opened();
  const options = { connection: settings };
  /** Each shares the connection; those that listen subscribe again when it was lost. */
  const shared =
    (listens: boolean) => (queue: string, more: BullMQ.QueueBaseOptions<BullMQ.PostgresConnectionOptions>) =>
      new bullmq.PostgresQueueBackend(server, queue, more, listens);
  return {
    name,
    outage,
    remembered: { age: REMEMBERED_SECONDS },
    queue: (queue) => opened.add(new bullmq.Queue(queue, options, shared(false))) as unknown as BullMQ.Queue,
    flows: () =>
      opened.add(new bullmq.FlowProducer(options, shared(false))) as unknown as BullMQ.FlowProducer,
    taker: (queue, more) =>
      opened.add(
        new bullmq.Worker(queue, null, { ...more, ...options } as never, shared(false)),
      ) as unknown as BullMQ.Worker,
    events: (queue) =>
      opened.add(new bullmq.QueueEvents(queue, options, shared(true))) as unknown as BullMQ.QueueEvents,
    now: async () => {
      const { rows } = await server.pool.query(CLOCK);
      return Math.floor(Number(rows[0].now));
    },
    close: async () => {
      outage.close();
      // what reads events spins for ever if only the connection ends
      await settlesWithin(Promise.all([opened.close(), server.close()]), ANSWER_MS);
    },
  };
}

/** Reads the server's clock, in milliseconds, on a connection of its own. @throws as {@link connectPostgres}. */
async function readClock(client: Pg.Client, name: string): Promise<number> {
  client.on('error', () => {});
  try {
    await client.connect();
    const { rows } = await client.query(CLOCK);
    return Math.floor(Number(rows[0].now));
  } catch (error) {
    const reason = reasonOf(error);
    if (isTransient(error))
      throw new ConnectionError(`${name}: cannot be reached (${reason})`, {}, { cause: error });
    throw new InputError(`${name}: refused (${reason})`, {}, { cause: error });
  } finally {
    await settlesWithin(client.end(), ANSWER_MS);
  }
}
