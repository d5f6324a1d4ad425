import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { chownSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A server of a queue that a test may restart. */
export interface TestServer {
  /** With user and password. */
  readonly address: string;
  readonly password: string;
  /** Ends it, as a machine does that is shut down. */
  stop(): Promise<void>;
  /** Starts it again with what it has stored. */
  start(): Promise<void>;
  /** Removes what it has stored; it must not run. */
  lose(): void;
  /** Ends it and removes its files. */
  remove(): Promise<void>;
}

const REDIS = ['/usr/bin/redis-server', '/usr/local/bin/redis-server'].find((path) => existsSync(path));
const POSTGRES = findPostgres();
export const hasRedis = REDIS !== undefined;
export const hasPostgres = POSTGRES !== undefined;

/** Passwords that no message may contain. */
const PASSWORD = 'correct-horse-battery';

/** Returns a port of 127.0.0.1 that nobody uses. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Starts Redis, which writes all changes to its append-only file. */
export async function startRedis(): Promise<TestServer> {
  const port = await freePort();
  const home = mkdtempSync(join(tmpdir(), 'weightpress-redis-'));
  const files = join(home, 'data');
  const args = ['--port', `${port}`, '--bind', '127.0.0.1', '--dir', files, '--requirepass', PASSWORD];
  const storage = ['--appendonly', 'yes', '--save', '', '--databases', '2'];
  const begin = () => {
    mkdirSync(files, { recursive: true });
    return spawn(REDIS!, [...args, ...storage], { stdio: 'ignore' });
  };
  const lose = () => rmSync(files, { recursive: true, force: true });
  return serverOf(`redis://:${PASSWORD}@127.0.0.1:${port}/0`, port, home, begin, 'SIGTERM', lose);
}

/** Starts PostgreSQL, as another user where this one is root: it refuses to run as root. */
export async function startPostgres(): Promise<TestServer> {
  const port = await freePort();
  const home = mkdtempSync(join(tmpdir(), 'weightpress-postgres-'));
  const owner = process.getuid?.() === 0 ? { uid: idOf('-u'), gid: idOf('-g') } : {};
  const files = join(home, 'data');
  writeFileSync(join(home, 'password'), PASSWORD);
  if (owner.uid !== undefined)
    for (const path of [home, join(home, 'password')]) chownSync(path, owner.uid, owner.gid!);
  const init = [
    '-U',
    'weightpress',
    '--auth=scram-sha-256',
    `--pwfile=${join(home, 'password')}`,
    '--no-sync',
  ];
  execFileSync(join(POSTGRES!, 'initdb'), ['-D', files, ...init], { ...owner, stdio: 'ignore', cwd: home });
  const args = ['-D', files, '-p', `${port}`, '-h', '127.0.0.1', '-k', home, '-F'];
  const begin = () => spawn(join(POSTGRES!, 'postgres'), args, { ...owner, stdio: 'ignore', cwd: home });
  const address = `postgres://weightpress:${PASSWORD}@127.0.0.1:${port}/postgres`;
  return serverOf(address, port, home, begin, 'SIGINT', () => {});
}

async function serverOf(
  address: string,
  port: number,
  home: string,
  begin: () => ChildProcess,
  signal: NodeJS.Signals,
  lose: () => void,
): Promise<TestServer> {
  let child: ChildProcess | undefined;
  const stop = async () => {
    const ending = child;
    child = undefined;
    if (!ending || ending.exitCode !== null) return;
    const ended = new Promise((resolve) => ending.once('exit', resolve));
    ending.kill(signal);
    await ended;
  };
  const start = async () => {
    child = begin();
    while (!(await listens(port))) await new Promise((resolve) => setTimeout(resolve, 20));
  };
  const remove = async () => {
    await stop();
    rmSync(home, { recursive: true, force: true });
  };
  process.once('exit', () => child?.kill('SIGKILL'));
  await start();
  return { address, password: PASSWORD, stop, start, lose, remove };
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    const end = (open: boolean) => {
      socket.destroy();
      resolve(open);
    };
    socket.once('connect', () => end(true)).once('error', () => end(false));
  });
}

/** Returns the folder of PostgreSQL's programs: Debian has one per version. */
function findPostgres(): string | undefined {
  const debian = '/usr/lib/postgresql';
  const versions = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : [];
  const folders = [...versions.map((version) => join(debian, version, 'bin')), '/usr/local/bin', '/usr/bin'];
  return folders.find((folder) => existsSync(join(folder, 'initdb')));
}

/** Returns the number of the user, or of its group, that PostgreSQL's package makes. */
function idOf(option: '-u' | '-g'): number {
  return Number(execFileSync('id', [option, 'postgres'], { encoding: 'utf8' }));
}
