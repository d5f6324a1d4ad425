import { spawnSync } from 'node:child_process';
import { readdirSync, renameSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { temporaryName } from '../../src/io/node/temporary.js';

/** What is beside `path` under a name of a file in the making. */
export function leftovers(path: string): string[] {
  const [folder, name] = [dirname(path), basename(path)];
  const pattern =
    /\.[A-Za-z0-9-]+-\d+-[0-9a-f]{12}\.(partial|old|incomplete|scratch|states|statistics|trials)$/;
  return readdirSync(folder)
    .filter((entry) => entry.startsWith(name) && pattern.test(entry))
    .map((entry) => join(folder, entry));
}

/** A process that has ended. */
export function deadProcess(): number {
  return spawnSync(process.execPath, ['-e', '']).pid;
}

/** The name that a run which ended would have made `path` under. */
export function deadName(path: string, ending = 'partial', pid = deadProcess()): string {
  return temporaryName(path, ending).replace(`-${process.pid}-`, `-${pid}-`);
}

/** Puts `bytes` where a run that ended would have left them. @returns the path */
export function leaveBehind(path: string, bytes: Uint8Array): string {
  const left = deadName(path);
  writeFileSync(left, bytes);
  return left;
}

/** Gives what was made by a live process the name that it has once that is gone. */
export function abandon(partial: string): string {
  const left = partial.replace(/-\d+-(?=[0-9a-f]{12}\.)/, `-${deadProcess()}-`);
  renameSync(partial, left);
  return left;
}
