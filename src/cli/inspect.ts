import { Command } from 'commander';
import { inspect } from '../operations/inspect.js';
import type { Summary } from '../wpk/summary.js';
import { bytes, table } from './format.js';
import { jsonOption } from './options.js';
import { fileNotes, packedLine, summaryLine, summaryTable } from './summary-table.js';
import { tensorTable } from './tensor-table.js';
import { print, printJson, printLine } from './terminal.js';

/** `weightpress inspect`: reads the directory without decoding weights. */
export function inspectCommand(): Command {
  return new Command('inspect')
    .argument('<file>', 'a .wpk file: on disk, at an address, or on the Hub (user/name, user/name/file.wpk)')
    .option('--tensors', 'list every tensor')
    .addOption(jsonOption())
    .addHelpText('after', '\nExample:\n  $ weightpress inspect gpt-neo-1.3B.wpk --tensors')
    .action(
      async (path: string, { tensors, json }: { readonly tensors?: boolean; readonly json?: boolean }) => {
        const summary = await inspect(path);
        if (json) return printJson(summary);
        printLine(`${path}: ${summary.source}, made by ${summary.generator}`);
        print();
        print(summaryTable(summary));
        print();
        print(summaryLine(summary));
        print();
        print(fileTable(summary));
        for (const line of [packedLine(summary), ...fileNotes(summary)]) if (line) printLine(line);
        if (tensors) print(`\n${listTensors(summary)}`);
        if (summary.quality) print(`\nquality, as measured:\n${JSON.stringify(summary.quality, null, 2)}`);
      },
    );
}

function fileTable({ weightFiles, sideFiles }: Summary): string {
  const rows = [...weightFiles, ...sideFiles].map(({ name, length, sha256 }) => [
    name,
    bytes(length),
    `${sha256.slice(0, 16)}…`,
  ]);
  return table(['file', 'size', 'SHA-256'], rows);
}

/** Formats all tensors with their error, if any is lossy: what has no error is exact. */
function listTensors({ tensors }: Summary): string {
  const isLossy = tensors.some(({ error }) => error !== undefined);
  return tensorTable(tensors, {
    bytes: ({ compressedBytes }) => bytes(compressedBytes),
    'coded\nbits': ({ elements, compressedBytes }) =>
      elements ? ((compressedBytes * 8) / elements).toFixed(3) : '',
    ...(isLossy && { error: ({ error }) => error?.toPrecision(2) ?? '' }),
  });
}
