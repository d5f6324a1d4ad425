// A queue, a store and workers on this machine; shared by the benches of many machines. Linux only.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const PROGRAM = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));
/** Ticks of the kernel's clock per second, in which it counts processor time. */
const TICKS = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

/** Starts a Redis server. @returns its address, and a function that ends it. */
export async function startRedis(folder) {
  const port = await freePort();
  const settings = [
    '--port',
    port,
    '--bind',
    '127.0.0.1',
    '--save',
    '',
    '--appendonly',
    'no',
    '--dir',
    folder,
  ];
  const child = spawn('redis-server', settings.map(String), { stdio: ['ignore', 'pipe', 'inherit'] });
  await new Promise((resolve, reject) => {
    child.once('error', reject).once('exit', () => reject(new Error('redis-server has ended')));
    createInterface({ input: child.stdout }).on('line', (line) => /Ready to accept/.test(line) && resolve());
  });
  return { address: `redis://127.0.0.1:${port}`, stop: () => end(child) };
}

/** Ends a child process, and waits for its end. */
async function end(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  await ended;
}

/** Starts workers of one job at a time. Resolves when all wait for jobs. */
export async function startWorkers(count, { queue, store, onFinished = () => {} }) {
  const children = await Promise.all(
    Array.from({ length: count }, async () => {
      const flags = ['--queue', queue, '--store', store, '--concurrency', '1'];
      const child = spawn(process.execPath, [PROGRAM, 'worker', ...flags], {
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      await new Promise((resolve, reject) => {
        child.once('exit', (code) => reject(new Error(`a worker ended with exit code ${code}`)));
        createInterface({ input: child.stderr }).on('line', (line) => {
          const [, type, message] = /^\S+ (\S+) (.*)/.exec(line) ?? [];
          if (type === 'ready') resolve();
          else if (type === 'finished') onFinished(message);
          else console.error(line);
        });
      });
      return child;
    }),
  );
  return { pids: children.map(({ pid }) => pid), stop: () => Promise.all(children.map(end)) };
}

/** Makes an empty folder for a store. */
export function makeStore(folder, name) {
  const path = join(folder, name);
  mkdirSync(path);
  return path;
}

/** Returns the processor time of a process so far, of all its threads, in seconds. */
export function processorSeconds(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS;
}

/** Returns the resident bytes of a process; undefined once it has ended. */
export function residentBytes(pid) {
  try {
    return Number(/^VmRSS:\s*(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) * 1024;
  } catch {
    return undefined;
  }
}

/** Runs a module of this folder in a process of its own. @returns the JSON that it sends, and how long it took. */
export async function runChild(module, args, { onStart } = {}) {
  const started = performance.now();
  const child = spawn(process.execPath, [module, ...args], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  onStart?.(child.pid);
  let sent;
  child.on('message', (message) => {
    sent = message;
  });
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`${module}: exit code ${code}`);
  return { ...sent, seconds: (performance.now() - started) / 1000 };
}

/** Returns the load of the last minute: other work on the machine, if it is above what the bench starts. */
export const load = () => loadavg()[0].toFixed(2);
