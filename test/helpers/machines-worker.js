// A worker process whose locks can be short: node test/helpers/machines-worker.js QUEUE OPTIONS. It writes one line per event, as JSON.
import { work } from '../../dist/machines/work.js';

const [queue, text] = process.argv.slice(2);
const { store, graceMs = 0, ...options } = JSON.parse(text);
const say = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);

const server = await work(queue, store, {
  ...options,
  onEvent: ({ type, message, job }) => say({ type, message, key: job?.key, kind: job?.kind }),
});
process.on('SIGTERM', () => server.stop(graceMs));
server.done.then(
  () => say({ type: 'ended' }),
  (error) => {
    say({ type: 'error', message: error.message });
    process.exitCode = 2;
  },
);
