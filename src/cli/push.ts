import { Command } from 'commander';
import { InputError } from '../core/errors.js';
import { planPush, push } from '../operations/push/push.js';
import { bytes } from './format.js';
import { licenseLine } from './license-line.js';
import { jsonOption } from './options.js';
import { withBars } from './progress-line.js';
import { print, printJson, printLine } from './terminal.js';

interface Options {
  readonly private?: true;
  readonly yes?: true;
  readonly dryRun?: true;
  readonly json?: true;
}

/** `weightpress push` */
export function pushCommand(): Command {
  return new Command('push')
    .argument('<file>', 'a .wpk or GGUF file')
    .argument('<repository>', 'user/name; created if it does not exist')
    .option('--private', 'create a private repository')
    .option('--yes', 'upload although the license is unknown or not known to permit sharing')
    .option('--dry-run', 'print the model card without uploading')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      '\nThe token comes from HF_TOKEN or the file that `hf auth login` wrote.\n\nExamples:\n  $ weightpress push gpt-neo-1.3B.wpk my-name/gpt-neo-1.3B-wpk\n  $ weightpress push qwen2-0.5b-Q4_K_M.gguf my-name/qwen2-0.5b-gguf',
    )
    .action(async (path: string, repository: string, options: Options) => {
      const plan = await planPush(path, repository);
      const { file, license, permissive, card, summary } = plan;
      if (options.dryRun) return options.json ? printJson(plan) : print(card);
      if (!options.json) {
        const isUnstated = 'format' in summary && license.from === undefined;
        printLine(
          `license of the original: ${isUnstated ? 'unknown: the file states none' : licenseLine(license)}`,
        );
        printLine(`${file}, ${bytes(summary.fileBytes)}, to ${repository}`);
      }
      if (!permissive && !options.yes)
        throw new InputError(
          license.id === 'unknown'
            ? 'license unknown: the file does not state that sharing is permitted; --yes uploads anyway'
            : `license ${license.id} is not known to permit sharing; read it, then use --yes`,
          { file: path },
        );
      const result = await withBars((onProgress) =>
        push(path, plan, { private: options.private, onProgress }),
      );
      if (options.json) return printJson({ repository, file, license, ...result });
      if (!result.wroteCard) print('README.md was not changed: it was not written by weightpress');
      printLine(`uploaded: ${result.url}`);
    });
}
