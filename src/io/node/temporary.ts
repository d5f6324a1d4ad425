import { randomBytes } from 'node:crypto';
import { existsSync, renameSync, rmSync } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { disk } from './disk.js';

/** Maximum bytes of a file name on common file systems. */
const MAX_NAME_BYTES = 255;
const HOST =
  hostname()
    .replaceAll(/[^A-Za-z0-9]+/g, '-')
    .slice(0, 40) || 'host';

interface Temporary {
  /** Whether a later run can continue from it; if so it is not deleted when the run is interrupted. */
  readonly resumable?: boolean;
  /** Path that it was moved aside from; it is moved back if that path is free. */
  readonly from?: string;
}

/** Temporary files and folders of this process. */
const temporaries = new Map<string, Temporary>();

/** Returns a unique name in the folder of `path`, `NAME.HOST-PID-RANDOM.ENDING`, which identifies the process. */
export function temporaryName(path: string, ending = 'partial'): string {
  const suffix = `.${HOST}-${process.pid}-${randomBytes(6).toString('hex')}.${ending}`;
  return join(dirname(path), shortened(basename(path), suffix.length) + suffix);
}

/** Shortens a name to leave `rest` bytes for a suffix. */
function shortened(name: string, rest: number): string {
  let short = name;
  while (Buffer.byteLength(short) > MAX_NAME_BYTES - rest) short = [...short].slice(0, -1).join('');
  return short;
}

/** Registers a file or folder that is removed if the run ends early. */
export function hold(path: string, resumable = false): void {
  temporaries.set(resolve(path), { resumable });
}

/** Registers a backup: what was moved from `from` to `path`, to be removed once `from` exists again. */
export function holdInstead(path: string, from: string): void {
  temporaries.set(resolve(path), { from });
}

/** Unregisters a path that was renamed or removed. */
export function letGo(path: string): void {
  temporaries.delete(resolve(path));
}

/**
 * Removes the registered temporary files synchronously, for a process that is about to end.
 * @returns the files that remain, because a later run can continue from them.
 */
export function removeTemporaries(): string[] {
  const remaining: string[] = [];
  for (const [path, { resumable, from }] of temporaries)
    try {
      if (resumable) remaining.push(path);
      else if (from !== undefined && !existsSync(from)) renameSync(path, from);
      else rmSync(path, { recursive: true, force: true });
    } catch {} // the process is already ending for another reason, which is reported
  return remaining.filter((path) => existsSync(path));
}

/** A temporary file of an earlier run. */
export interface Leftover {
  readonly path: string;
  /** Whether its process is known to have ended; never known for other machines. */
  readonly isDead: boolean;
}

/** Returns all temporary files of `path` and of outputs derived from its name, from any process. */
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
 * Returns temporary files that earlier runs left for `path`, largest first, without those still in use on this machine.
 * @param ending only temporary files of `path` itself with this extension; by default also those of derived outputs.
 */
export async function leftoversOf(path: string, ending?: string): Promise<Leftover[]> {
  const found: (Leftover & { readonly size: number })[] = [];
  for (const { left, host, pid } of await parsedTemporaries(path, ending)) {
    const isDead = host === HOST;
    if (isDead && isInUse(left, Number(pid))) continue;
    const there = await lstat(left).catch(() => undefined);
    if (there) found.push({ path: left, isDead, size: there.size });
  }
  return found.sort((a, b) => b.size - a.size);
}

/** Takes over a leftover by renaming it atomically. @returns its new name; undefined if it has other names too, or another run took it. */
export async function claim(path: string, output: string, ending?: string): Promise<string | undefined> {
  const found = await lstat(path).catch(() => undefined);
  if (!found?.isFile() || found.nlink !== 1) return; // a finished output may have this as its second name
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

function isInUse(path: string, pid: number): boolean {
  if (pid === process.pid) return temporaries.has(resolve(path));
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'; // another user's process, running
  }
}
