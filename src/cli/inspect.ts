import { Command } from 'commander';
import { inspect } from '../operations/inspect.js';
import type { Summary } from '../wpk/summary.js';
import { bytes, count, table } from './format.js';
import { jsonOption } from './options.js';
import { fileNotes, summaryLine, summaryTable } from './summary-table.js';
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
        for (const line of fileNotes(summary)) printLine(line);
        if (tensors) print(`\n${tensorTable(summary)}`);
        if (summary.quality) print(`\nquality, as measured:\n${JSON.stringify(summary.quality, null, 2)}`);
      },
    );
}

function fileTable({ weightFiles, sideFiles }: Summary): string {
  const rows = [...weightFiles, ...sideFiles].map(({ name, length, sha256 }) => [
    name,
    bytes(length),
    sha256,
  ]);
  return table(['file', 'size', 'SHA-256'], rows);
}

function tensorTable({ tensors }: Summary): string {
  const rows = tensors.map(
    ({ name, role, dtype, shape, elements, compressedBytes, codec, error, sameAs }) => [
      name,
      role,
      dtype,
      `[${shape.join(', ')}]`,
      count(compressedBytes),
      elements && sameAs === undefined ? ((compressedBytes * 8) / elements).toFixed(3) : '',
      error?.toPrecision(2) ?? '',
      sameAs === undefined ? codec : `same as ${sameAs}`,
    ],
  );
  const head = ['tensor', 'role', 'dtype', 'shape', 'bytes', 'bits per element', 'squared error', 'codec'];
  return table(head, rows, ['left', 'left', 'left', 'left', 'right', 'right', 'right', 'left']);
}
