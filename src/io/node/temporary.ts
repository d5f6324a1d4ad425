import { randomBytes } from 'node:crypto';
import { existsSync, renameSync, rmSync } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { disk } from './disk.js';

/** Names in a folder are no longer than this on any usual file system, in bytes. */
const LONGEST_NAME = 255;
const HOST =
  hostname()
    .replaceAll(/[^A-Za-z0-9]+/g, '-')
    .slice(0, 40) || 'host';

interface Held {
  /** It is worth keeping when the run is stopped: another can go on from it. */
  readonly resumable?: boolean;
  /** What was moved aside from here goes back when nothing has taken its place. */
  readonly from?: string;
}

/** What this process has in the making. */
const held = new Map<string, Held>();

/** A name beside `path` that nobody else has: `NAME.HOST-PID-RANDOM.ENDING`. It tells who makes it. */
export function temporaryName(path: string, ending = 'partial'): string {
  const suffix = `.${HOST}-${process.pid}-${randomBytes(6).toString('hex')}.${ending}`;
  return join(dirname(path), shortened(basename(path), suffix.length) + suffix);
}

/** As much of a name as leaves room for the rest. */
function shortened(name: string, rest: number): string {
  let short = name;
  while (Buffer.byteLength(short) > LONGEST_NAME - rest) short = [...short].slice(0, -1).join('');
  return short;
}

/** Notes that this process makes `path`, a file or a folder, which is to be gone when the run ends early. */
export function hold(path: string, resumable = false): void {
  held.set(resolve(path), { resumable });
}

/** Notes that what was at `from` waits at `path`, to be removed when something new is there. */
export function holdInstead(path: string, from: string): void {
  held.set(resolve(path), { from });
}

/** Notes that `path` has become something else, or is no more. */
export function letGo(path: string): void {
  held.delete(resolve(path));
}

/**
 * Removes what this process has in the making, at once, for a process that is about to end.
 * @returns the files that are kept, because a later run can go on from them.
 */
export function removeTemporaries(): string[] {
  const kept: string[] = [];
  for (const [path, { resumable, from }] of held)
    try {
      if (resumable) kept.push(path);
      else if (from !== undefined && !existsSync(from)) renameSync(path, from);
      else rmSync(path, { recursive: true, force: true });
    } catch {} // the process ends for a reason of its own, which is what is said
  return kept.filter((path) => existsSync(path));
}

/** Something that an earlier run had in the making. */
export interface Leftover {
  readonly path: string;
  /** The process that made it is known to be gone. Of another machine's that cannot be known. */
  readonly isDead: boolean;
}

/** All paths beside `path` that are a {@link temporaryName} of it or of what is made beside it, whoever makes them. */
export async function temporariesOf(path: string): Promise<string[]> {
  return (await parsedTemporaries(path, undefined)).map(({ left }) => left);
}

async function parsedTemporaries(path: string, ending: string | undefined) {
  const folder = dirname(path);
  const names = await readdir(folder).catch(() => []);
  return names.flatMap((name) => {
    const [, base, host, pid] = /^(.*)\.([A-Za-z0-9-]+)-(\d+)-[0-9a-f]{12}\.(?:[a-z]+)$/s.exec(name) ?? [];
    if (base === undefined) return [];
    const own = shortened(basename(path), name.length - base.length);
    const isOwn = ending === undefined ? `${base}.`.startsWith(`${own}.`) : base === own;
    if (!isOwn || (ending !== undefined && !name.endsWith(`.${ending}`))) return [];
    return [{ left: join(folder, name), host, pid }];
  });
}

/**
 * What earlier runs left of `path`, the largest first: not what is still being made on this machine.
 * @param ending of what was made of `path` itself; without it also what was made beside it.
 */
export async function leftoversOf(path: string, ending?: string): Promise<Leftover[]> {
  const found: (Leftover & { readonly size: number })[] = [];
  for (const { left, host, pid } of await parsedTemporaries(path, ending)) {
    const isDead = host === HOST;
    if (isDead && isBeingMade(left, Number(pid))) continue;
    const there = await lstat(left).catch(() => undefined);
    if (there) found.push({ path: left, isDead, size: there.size });
  }
  return found.sort((a, b) => b.size - a.size);
}

/** Renames a leftover, in one step. @returns its new name, unless it is not a file of that name alone, or another run was faster. */
export async function claim(path: string, output: string, ending?: string): Promise<string | undefined> {
  const found = await lstat(path).catch(() => undefined);
  if (!found?.isFile() || found.nlink !== 1) return; // a whole output may have this as its second name
  const own = temporaryName(output, ending);
  hold(own, true);
  try {
    await disk.rename(path, own);
    return own;
  } catch (error) {
    letGo(own);
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
}

function isBeingMade(path: string, pid: number): boolean {
  if (pid === process.pid) return held.has(resolve(path));
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'; // somebody else's, and alive
  }
}
