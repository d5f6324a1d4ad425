import { Command } from 'commander';
import { InputError } from '../core/errors.js';
import { planPush, push } from '../operations/push/push.js';
import { licenseLine } from './license-line.js';
import { jsonOption } from './options.js';
import { bytes, print, printJson, printLine, withBars } from './terminal.js';

interface Options {
  readonly private?: true;
  readonly yes?: true;
  readonly dryRun?: true;
  readonly json?: true;
}

/** `weightpress push` */
export function pushCommand(): Command {
  return new Command('push')
    .description('upload a .wpk file to the Hub, with a model card made from what is in it')
    .argument('<file>', 'a .wpk file')
    .argument('<repository>', 'user/name; it is made when there is none')
    .option('--private', 'make a repository that others do not see')
    .option('--yes', 'upload though the license is unknown or not known to allow it: you have read it')
    .option('--dry-run', 'print the card, send nothing')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      '\nThe token comes from HF_TOKEN or the file that `hf auth login` wrote.\n\nExample:\n  $ weightpress push gpt-neo-1.3B.wpk my-name/gpt-neo-1.3B-wpk',
    )
    .action(async (path: string, repository: string, options: Options) => {
      const plan = await planPush(path, repository);
      const { file, license, permissive, card, summary } = plan;
      if (options.dryRun) return options.json ? printJson(plan) : print(card);
      if (!options.json) {
        printLine(`license of the original: ${licenseLine(license)}`);
        printLine(`${file}, ${bytes(summary.fileBytes)}, to ${repository}`);
      }
      if (!permissive && !options.yes)
        throw new InputError(
          license.id === 'unknown'
            ? 'nothing in the file says that others may have this model; --yes uploads it all the same'
            : `${license.id} is not among the licenses known to let anyone share a model; read it, then --yes uploads`,
          { file: path },
        );
      const result = await withBars((onProgress) =>
        push(path, plan, { private: options.private, onProgress }),
      );
      if (options.json) return printJson({ repository, file, license, ...result });
      if (!result.wroteCard) print('the card that is there was written by somebody: it was left');
      printLine(`uploaded: ${result.url}`);
    });
}
