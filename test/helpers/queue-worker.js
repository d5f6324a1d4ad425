// A worker process with toy jobs: node test/helpers/queue-worker.js ADDRESS OPTIONS. It writes one line per event, as JSON.
import { appendFileSync, existsSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { ConnectionError, InputError } from '../../dist/core/errors.js';
import { serveQueue } from '../../dist/queue/serve.js';

const [address, text] = process.argv.slice(2);
const { log, graceMs = 0, version = '1', ...options } = JSON.parse(text);
const say = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);

/** Does what a job's data says, and notes in a file, which is the store, that it was done. */
async function run({ key, data }, { signal, onProgress }) {
  say({ type: 'run', key });
  if (data.input) throw new InputError(data.input);
  if (data.connection) throw new ConnectionError(data.connection);
  if (data.error) throw new Error(data.error);
  const first = data.slowOnce && !existsSync(data.slowOnce);
  if (first) writeFileSync(data.slowOnce, '');
  onProgress(0.5);
  await sleep(first ? 100_000 : (data.milliseconds ?? 0), undefined, { signal }).catch(() => {
    throw signal.reason;
  });
  appendFileSync(log, `${key}\n`);
  return { square: data.number ** 2 };
}

const server = serveQueue(address, {
  concurrency: 2,
  memoryBytes: 1000,
  ...options,
  identity: { version, arithmetic: 'toy' },
  run,
  onEvent: ({ type, message, job }) => say({ type, message, key: job?.key }),
});
process.on('SIGTERM', () => server.stop(graceMs));
server.done.then(
  () => say({ type: 'ended' }),
  (error) => {
    say({ type: 'error', message: `${error.name}: ${error.message}` });
    process.exitCode = 2;
  },
);
