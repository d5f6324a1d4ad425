// What `weightpress serve` does under real clients, many clients and unkind ones.
//   node bench/serve.js [MODEL_DIR] [--python PYTHON] [--large FILE.wpk]
// PYTHON has huggingface_hub, transformers and torch. Linux; needs curl.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { bytes } from '../dist/cli/format.js';
import { compress, inspect } from '../dist/index.js';
import { machine, measure } from './measure.js';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { python: { type: 'string' }, large: { type: 'string' } },
});
const [model = here('../fixtures/models/gpt-neo-small')] = positionals;
const CUTS = 20;
const CLIENTS = 20;
const REQUESTS = 10_000;
const CONNECTIONS = 10_000;
const NAME = 'bench/model';
const program = here('../dist/cli/main.js');
const place = mkdtempSync(join(tmpdir(), 'weightpress-serve-bench-'));
const sha256 = (data) => createHash('sha256').update(data).digest('hex');

/** Starts the command on a free port. */
async function startServer(folder) {
  const child = spawn(process.execPath, [program, 'serve', folder, '--port', '0', '--quiet', '--json'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  for await (const part of child.stdout.iterator({ destroyOnReturn: false })) {
    said += part;
    if (said.includes('\n}')) break;
  }
  const status = (field) =>
    1024 *
    Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))[1]);
  return {
    url: JSON.parse(said).url,
    memory: () => status('VmRSS'),
    peak: () => status('VmHWM'),
    handles: () => readdirSync(`/proc/${child.pid}/fd`).length,
    async stop() {
      child.kill('SIGINT');
      const [code] = await once(child, 'exit');
      return code;
    },
  };
}

/** Forwards connections to a server, and cuts the first ones after so many bytes of their answers. */
async function startCutting(address, { cuts, afterBytes }) {
  let left = cuts;
  const proxy = createServer((client) => {
    const server = connect(Number(new URL(address).port), '127.0.0.1');
    let sent = 0;
    for (const [one, other] of [
      [client, server],
      [server, client],
    ])
      one.on('error', () => {}).on('close', () => other.destroy());
    client.pipe(server);
    server.on('data', (part) => {
      sent += part.length;
      if (!client.write(part)) server.pause();
      if (sent < afterBytes || !left) return;
      left--;
      server.destroy();
      client.destroy();
    });
    client.on('drain', () => server.resume());
  });
  await new Promise((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${proxy.address().port}`,
    cutsLeft: () => left,
    stop: () => proxy.close(),
  };
}

/** Real clients in Python. */
async function pythonClients(server, file) {
  const proxy = await startCutting(server.url, {
    cuts: CUTS,
    afterBytes: Math.floor(file.length / (CUTS + 5)),
  });
  const child = spawn(values.python, [here('hub_clients.py'), NAME, model, proxy.url], {
    env: { ...process.env, HF_ENDPOINT: server.url, HF_TOKEN: '' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  for await (const part of child.stdout) said += part;
  const found = JSON.parse(said);
  proxy.stop();
  return { ...found, 'cut download, times that the connection was cut': CUTS - proxy.cutsLeft() };
}

/** Everybody downloads all of a file at once. */
async function manyClients(server, file) {
  const started = performance.now();
  const digests = await Promise.all(
    Array.from({ length: CLIENTS }, async () => {
      const hash = createHash('sha256');
      for await (const part of (await fetch(`${server.url}/${NAME}/resolve/main/${file.name}`)).body)
        hash.update(part);
      return hash.digest('hex');
    }),
  );
  const seconds = (performance.now() - started) / 1000;
  return {
    'right digests': digests.filter((digest) => digest === file.sha256).length,
    speed: `${bytes(Math.round((CLIENTS * file.length) / seconds))}/s`,
    'peak memory': bytes(server.peak()),
  };
}

/** Requests of all kinds, some of them given up; memory and handles on the way. */
async function manyRequests(server, file, whole) {
  const kinds = [
    async () => (await fetch(`${server.url}/api/models/${NAME}`)).json(),
    async () => (await fetch(`${server.url}/api/models/${NAME}/tree/main?recursive=true`)).json(),
    async () => (await fetch(`${server.url}/${NAME}/resolve/main/${file.name}`, { method: 'HEAD' })).text(),
    async () => (await fetch(`${server.url}/${NAME}/resolve/main/config.json`)).text(),
    async () => (await fetch(`${server.url}/${NAME}/resolve/main/none`)).text(),
    async (i) => {
      const start = (i * 7919 * 4099) % (file.length - 65_536);
      const range = { range: `bytes=${start}-${start + 65_535}` };
      const response = await fetch(`${server.url}/${NAME}/resolve/main/${file.name}`, { headers: range });
      const found = Buffer.from(await response.arrayBuffer());
      if (!found.equals(whole.subarray(start, start + 65_536))) throw new Error(`wrong bytes at ${start}`);
    },
    async () => {
      const given = new AbortController();
      const response = await fetch(`${server.url}/${NAME}/resolve/main/${file.name}`, {
        signal: given.signal,
      });
      await response.body.getReader().read();
      given.abort();
    },
  ];
  const marks = [];
  let next = 0;
  const started = performance.now();
  const work = async () => {
    while (next < REQUESTS) {
      const i = next++;
      if (i % (REQUESTS / 5) === 0) marks.push(`${bytes(server.memory())}, ${server.handles()} handles`);
      await kinds[i % kinds.length](i);
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, work));
  const seconds = (performance.now() - started) / 1000;
  await sleep(500);
  return {
    'memory and handles, every 2,000 requests': marks.join('; '),
    'at the end': `${bytes(server.memory())}, ${server.handles()} handles`,
    'requests per second': Math.round(REQUESTS / seconds),
  };
}

/** Connections that never finish their headers, and then readers that never read. */
async function unkindClients(server, path) {
  const before = server.memory();
  const open = (text) => {
    const socket = connect(Number(new URL(server.url).port), '127.0.0.1').pause();
    socket.on('error', () => {}).write(text);
    return socket;
  };
  const sockets = [];
  for (let i = 0; i < CONNECTIONS; i++) {
    sockets.push(open('GET / HTTP/1.1\r\nX-Slow: '));
    if (i % 500 === 499) await sleep(20);
  }
  await sleep(1000);
  const during = server.memory();
  const handles = server.handles();
  for (const socket of sockets) socket.resume();
  await sleep(13_000);
  const left = server.handles();
  for (const socket of sockets) socket.destroy();
  await sleep(500);
  const readers = Array.from({ length: 500 }, () => open(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`));
  await sleep(15_000);
  const held = server.memory();
  const answered = (await fetch(`${server.url}/healthz`)).status;
  for (const socket of readers) socket.destroy();
  await sleep(500);
  return {
    [`${CONNECTIONS} connections with half a header`]: `${handles} handles, ${bytes(before)} -> ${bytes(during)}; after 14 s ${left} handles`,
    '500 readers that do not read': `${bytes(held)}; the next client is answered with ${answered}`,
  };
}

/** One large file by curl, beside the commands that decode it. */
async function largeFile(path) {
  const folder = join(place, 'large');
  mkdirSync(join(folder, 'bench'), { recursive: true });
  copyFileSync(path, join(folder, 'bench/large.wpk'));
  const file = largestOf(await inspect(path));
  const speed = ({ seconds, peakBytes }) =>
    `${bytes(Math.round(file.length / seconds))}/s${peakBytes ? `, peak memory ${bytes(peakBytes)}` : ''}`;
  const server = await startServer(folder);
  const address = `${server.url}/bench/large/resolve/main/${file.name}`;
  const { seconds } = await measure(['curl', '-sf', address, '-o', '/dev/null']);
  const served = speed({ seconds, peakBytes: server.peak() });
  const unkind = await unkindClients(server, `/bench/large/resolve/main/${file.name}`);
  const code = await server.stop();
  const verified = await measure([process.execPath, program, 'verify', path]);
  const output = join(place, 'restored');
  const restored = await measure([process.execPath, program, 'decompress', path, output]);
  return {
    [`curl of ${bytes(file.length)}`]: served,
    'weightpress verify': speed(verified),
    'weightpress decompress': speed(restored),
    ...unkind,
    'exit code': code,
  };
}

const largestOf = ({ sideFiles, weightFiles }) =>
  [...sideFiles, ...weightFiles].reduce((most, file) => (file.length > most.length ? file : most));

function show(title, found) {
  console.log(`\n${title}`);
  for (const [what, value] of Object.entries(found)) console.log(`  ${what}: ${value}`);
}

try {
  const folder = join(place, 'models');
  mkdirSync(join(folder, 'bench'), { recursive: true });
  await compress(model, join(folder, `${NAME}.wpk`));
  const file = largestOf(await inspect(join(folder, `${NAME}.wpk`)));
  const whole = readFileSync(join(model, file.name));
  if (sha256(whole) !== file.sha256) throw new Error('the model was changed');
  console.log(`${machine()}; ${file.name} of ${bytes(statSync(join(model, file.name)).size)}`);
  const server = await startServer(folder);
  if (values.python) show('Python', await pythonClients(server, file));
  show(`${CLIENTS} clients at once`, await manyClients(server, file));
  show(`${REQUESTS} requests of seven kinds, ${CLIENTS} at a time`, await manyRequests(server, file, whole));
  show('The end', { 'exit code': await server.stop() });
  if (values.large) show('A large file', await largeFile(values.large));
} finally {
  rmSync(place, { recursive: true });
}
