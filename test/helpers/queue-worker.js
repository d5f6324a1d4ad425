// A worker process with toy jobs: node test/helpers/queue-worker.js ADDRESS OPTIONS. It writes one line per event, as JSON.
import { appendFileSync } from 'node:fs';
import { InputError } from '../../dist/core/errors.js';
import { serveQueue } from '../../dist/queue/serve.js';

const [address, text] = process.argv.slice(2);
const { log, version = '1', arithmetic = 'toy', ...options } = JSON.parse(text);

const say = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);

/** Does what a job's data says, and notes in a file that it was done: this is the store. */
async function run({ key, data }, { signal, onProgress }) {
  say({ type: 'run', key });
  if (data.input) throw new InputError(data.input);
  if (data.error) throw new Error(data.error);
  if (data.milliseconds) {
    onProgress(0.5);
    await new Promise((resolve, reject) => {
      const timer = setTimeout(resolve, data.milliseconds);
      signal.addEventListener('abort', () => {
        clearTimeout(timer);
        reject(signal.reason);
      });
    });
  }
  if (log) appendFileSync(log, `${key}\n`);
  return { square: data.number ** 2 };
}

const server = serveQueue(address, {
  kinds: ['toy'],
  concurrency: 2,
  memoryBytes: 1000,
  lockMs: 2000,
  ...options,
  identity: { version, arithmetic },
  run,
  onEvent: ({ type, message, job }) => say({ type, message, key: job?.key }),
});
process.on('SIGTERM', () => server.stop(options.graceMs ?? 0));
server.done.then(
  () => say({ type: 'ended' }),
  (error) => {
    say({ type: 'error', name: error.name, message: error.message });
    process.exitCode = 2;
  },
);
