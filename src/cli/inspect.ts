import { Command } from 'commander';
import { inspectFile } from '../operations/inspect.js';
import { codesChosenBy, type GgufSummary } from '../operations/quantize/summary.js';
import type { Summary } from '../wpk/summary.js';
import { bytes, count, table } from './format.js';
import { jsonOption } from './options.js';
import { fileNotes, packedLine, qualityLine, summaryLine, summaryTable } from './summary-table.js';
import { tensorTable } from './tensor-table.js';
import { print, printJson, printLine } from './terminal.js';
import { CANNOT_LOAD, typeTable } from './type-table.js';

/** `weightpress inspect`: reads the directory, or the header of a GGUF file, without decoding weights. */
export function inspectCommand(): Command {
  return new Command('inspect')
    .argument(
      '<file>',
      'a .wpk or GGUF file: on disk, at an address, or on the Hub (user/name, user/name/file.wpk)',
    )
    .option('--tensors', 'list every tensor')
    .addOption(jsonOption())
    .addHelpText('after', '\nExample:\n  $ weightpress inspect gpt-neo-1.3B.wpk --tensors')
    .action(
      async (path: string, { tensors, json }: { readonly tensors?: boolean; readonly json?: boolean }) => {
        const summary = await inspectFile(path);
        if (json) return printJson(summary);
        if ('format' in summary) return printGguf(path, summary, tensors);
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

function printGguf(path: string, summary: GgufSummary, tensors = false): void {
  const { record, isRequantized, architecture = 'unknown architecture' } = summary;
  const { fileBytes, names, part, types } = summary;
  const made = record
    ? `${record.source ?? architecture}, made by ${record.generator} with ${record.types}`
    : `${architecture}, ${isRequantized ? 'quantized again by another program after weightpress' : 'not quantized by weightpress'}`;
  printLine(`${path}: ${made}`);
  print();
  print(typeTable(summary.tensors));
  print();
  printLine(`${bytes(fileBytes)} (${count(fileBytes)} bytes), with metadata and tokenizer`);
  if (part) printLine(`part ${part.number} of ${part.of} of a split model: only its tensors are counted`);
  if (names === 'checkpoint') printLine(CANNOT_LOAD);
  if (!record) printLine('quality: unknown; the file does not say what it loses');
  else {
    printLine(codesLine(record));
    print(qualityLine(record.quality));
  }
  if (tensors && types.length)
    print(
      `\n${tensorTable(
        summary.tensors.map((tensor) => ({ ...tensor, dtype: tensor.type })),
        { bytes: (tensor) => bytes(tensor.bytes) },
      )}`,
    );
  if (record?.quality) print(`\nquality, as measured:\n${JSON.stringify(record.quality, null, 2)}`);
}

/** Says what decided the codes of a quantized file. */
function codesLine(record: NonNullable<GgufSummary['record']>): string {
  const { name = 'a text', isImatrix, sha256, tokens } = codesChosenBy(record);
  if (!record.calibration) return 'codes: rounded, without calibration';
  const size = tokens === undefined ? '' : `, ${count(tokens)} tokens`;
  const digest = sha256 === undefined ? '' : `, SHA-256 ${sha256}`;
  return `codes chosen by ${isImatrix ? `the importance matrix ${name}` : name}${size}${digest}`;
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
