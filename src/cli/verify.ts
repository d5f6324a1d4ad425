import { Command } from 'commander';
import type { WeightError } from '../evaluation/compare.js';
import { verify } from '../operations/verify.js';
import { printVerdict } from './colors.js';
import { bytes, count } from './format.js';
import { baseOption, expansionOption, jsonOption, threadsOption } from './options.js';
import { withBars } from './progress-line.js';
import { print, printFailure, printJson, printLine } from './terminal.js';

interface Options {
  readonly against?: string;
  readonly base?: string;
  readonly maxExpansion?: number;
  readonly threads?: number;
  readonly json?: boolean;
}

/** `weightpress verify`: exit code 1 when something is wrong with the file. */
export function verifyCommand(): Command {
  return new Command('verify')
    .argument('<file>', 'a .wpk file: on disk, at an address, or on the Hub')
    .option(
      '--against <model>',
      'the original: compare every byte of every file, or every element if the file is lossy',
    )
    .addOption(baseOption())
    .addOption(threadsOption())
    .addOption(expansionOption())
    .addOption(jsonOption())
    .addHelpText('after', '\nExample:\n  $ weightpress verify gpt-neo-1.3B.wpk --against models/gpt-neo-1.3B')
    .action(async (path: string, { json, ...options }: Options) => {
      const { against } = options;
      const result = await withBars((onProgress) => verify(path, { ...options, onProgress }));
      if (!result.good) process.exitCode = 1;
      if (json) return printJson(result);
      for (const problem of result.problems) printFailure(problem);
      if (!result.good) return;
      print(
        `${count(result.files)} files, ${count(result.tensors)} tensors, ${count(result.blocks)} blocks, ${bytes(result.decodedBytes)}: all checksums and digests match`,
      );
      if (result.bitExact)
        printVerdict('green', 'bit-exact', `: every file is identical to that of ${against}`);
      else if (result.error) printLine(errorLine(result.error, against!));
    });
}

function errorLine({ differing, relativeSquaredError, worst }: WeightError, against: string): string {
  const share = (value: number) => value.toPrecision(3);
  return [
    `lossy: ${count(differing)} tensors differ from ${against}`,
    `relative squared error ${share(relativeSquaredError)}, largest ${share(worst!.relativeSquaredError)} (${worst!.tensor})`,
  ].join('; ');
}
