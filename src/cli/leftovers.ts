import { basename } from 'node:path';
import type { Command } from 'commander';
import { leftoversOf } from '../io/node/temporary.js';
import { printNotice } from './terminal.js';

/** Options that name what a command writes. */
interface Outputs {
  readonly output?: string;
  readonly html?: string;
  readonly statistics?: string;
  readonly saveLogits?: string;
  /** Whether the evaluated file is written to. */
  readonly attach?: boolean;
  readonly resume?: boolean;
}

/** Reports on standard error, one line each, files that earlier runs left beside the outputs of a command that is about to run. */
export async function reportLeftovers(command: Command): Promise<void> {
  const { output, html, statistics, saveLogits, attach, resume } = command.opts<Outputs>();
  const attached = attach ? command.args[0] : undefined;
  for (const path of [output, html, statistics, saveLogits, attached])
    for (const leftover of path === undefined ? [] : await leftoversOf(path)) {
      if (resume && leftover.isDead) continue; // it is about to be used
      printNotice(`${leftover.path}: ${describe(leftover, command.name())}`);
    }
}

function describe({ path, isDead }: { readonly path: string; readonly isDead: boolean }, command: string) {
  if (!isDead) return 'being written by another machine, or left by it';
  const ending = basename(path).split('.').at(-1);
  if (ending === 'old') return 'the previous output, moved aside by a run that was interrupted';
  if ((ending === 'partial' || ending === 'trials') && command === 'compress')
    return 'left by an interrupted run; continue it with --resume, otherwise it may be deleted';
  if (ending === 'statistics') return 'left by an interrupted run; used again for the same model and text';
  return 'left by an interrupted run; it may be deleted';
}
