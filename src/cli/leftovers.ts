import { basename } from 'node:path';
import type { Command } from 'commander';
import { leftoversOf } from '../io/node/temporary.js';
import { printError } from './terminal.js';

/** Options that name what a command writes. */
interface Outputs {
  readonly output?: string;
  readonly html?: string;
  readonly statistics?: string;
  /** Of the file that is evaluated. */
  readonly attach?: boolean;
  readonly resume?: boolean;
}

/** Says, a line each on standard error, what earlier runs have left beside the outputs of a command that is about to run. */
export async function sayLeftovers(command: Command): Promise<void> {
  const { output, html, statistics, attach, resume } = command.opts<Outputs>();
  const attached = attach ? command.args[0] : undefined;
  for (const path of [output, html, statistics, attached])
    for (const left of path === undefined ? [] : await leftoversOf(path)) {
      if (resume && left.isDead) continue; // it is about to be used
      printError(`weightpress: ${left.path}: ${whatOf(left, command.name())}`);
    }
}

function whatOf({ path, isDead }: { readonly path: string; readonly isDead: boolean }, command: string) {
  if (!isDead) return 'another machine makes this, or has left it';
  const ending = basename(path).split('.').at(-1);
  if (ending === 'old') return 'was here before a run replaced it, and that ended early';
  if (ending === 'partial' && command === 'compress')
    return 'was left by a run that ended early; --resume goes on from it if it was lossless, otherwise it may be deleted';
  return 'was left by a run that ended early; it may be deleted';
}
