// A page that shows the queues and their jobs, to look at and not to change: node examples/machines/board.js redis://127.0.0.1:6379
// The page has no authentication: it listens to this machine alone, unless HOST says otherwise.
const { HOST = '127.0.0.1', PORT = '3000' } = process.env;
const KINDS = ['windows', 'moments', 'matrix', 'encode', 'measure', 'blocks', 'model'];
const PACKAGES = ['bullmq', 'ioredis', 'pg', 'express', '@bull-board/api', '@bull-board/express'];

const connection = process.argv[2];
if (!/^(rediss?|postgres(ql)?):\/\//.test(connection ?? ''))
  end('usage: node board.js redis://HOST:6379 or postgres://HOST/DATABASE');

const [bullmq, { createBullBoard }, { BullMQAdapter }, { ExpressAdapter }, { default: express }] =
  await Promise.all([
    import('bullmq'),
    import('@bull-board/api'),
    import('@bull-board/api/bullMQAdapter'),
    import('@bull-board/express'),
    import('express'),
  ]).catch((error) => {
    if (error.code !== 'ERR_MODULE_NOT_FOUND') throw error;
    end(`missing packages: npm install --no-save ${PACKAGES.join(' ')}`);
  });

// The schema that workers and submitters make.
const postgres = { connectionString: connection, schema: 'weightpress' };
const queues = KINDS.map((kind) =>
  connection.startsWith('redis')
    ? new bullmq.Queue(`weightpress-${kind}`, { connection: { url: connection } })
    : new bullmq.Queue(`weightpress-${kind}`, { connection: postgres }, bullmq.createPostgresBackend),
);
await Promise.all(queues.map((queue) => queue.waitUntilReady()));

const serverAdapter = new ExpressAdapter();
createBullBoard({
  queues: queues.map((queue) => new BullMQAdapter(queue, { readOnlyMode: true })),
  serverAdapter,
});
const server = express()
  .use(serverAdapter.getRouter())
  .listen(Number(PORT), HOST, (error) => {
    if (error) end(error.message);
    console.log(`http://${HOST}:${server.address().port}`);
  });

function end(message) {
  console.error(message);
  process.exit(2);
}
