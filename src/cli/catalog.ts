import { Command, Option } from 'commander';
import { plainMarkdown } from '../core/plain-text.js';
import { type CatalogEntry, catalog } from '../operations/catalog.js';
import { bytes, count, table } from './format.js';
import { jsonOption } from './options.js';
import { print, printJson, printLine } from './terminal.js';

const COLUMNS: readonly (readonly [title: string, cell: (entry: CatalogEntry) => string])[] = [
  ['file', ({ file }) => file],
  ['model', ({ model, problem }) => model ?? `unreadable: ${problem}`],
  ['parameters', ({ parameters }) => (parameters === undefined ? '' : count(parameters))],
  ['original', ({ originalBytes }) => (originalBytes === undefined ? '' : bytes(originalBytes))],
  ['compressed', ({ compressedBytes }) => (compressedBytes === undefined ? '' : bytes(compressedBytes))],
  ['ratio', ({ ratio }) => ratio?.toFixed(3) ?? ''],
  ['bits per weight', ({ bitsPerWeight }) => bitsPerWeight?.toFixed(3) ?? ''],
  ['perplexity', ({ perplexity }) => perplexity?.toFixed(3) ?? ''],
  ['KL, nats', quality],
  ['license', ({ license }) => license ?? ''],
  [
    'verified',
    ({ verified, problem }) => (verified === undefined ? 'not checked' : verified ? 'yes' : `no: ${problem}`),
  ],
];

/** Formats the loss, which always stands beside the ratio: a loss that was not measured is named as such. */
function quality({ klNats, cosine, lossless }: CatalogEntry): string {
  if (cosine !== undefined) return `cosine ${cosine.toFixed(4)}`;
  if (klNats !== undefined) return klNats === 0 ? '0' : klNats.toPrecision(3);
  return lossless === undefined ? '' : lossless ? 'lossless' : 'not measured';
}

const SORTS: Readonly<Record<string, (entry: CatalogEntry) => number | string>> = {
  file: ({ file }) => file,
  parameters: ({ parameters }) => parameters ?? -1,
  size: ({ compressedBytes }) => compressedBytes ?? -1,
  ratio: ({ ratio }) => ratio ?? -1,
  bits: ({ bitsPerWeight }) => bitsPerWeight ?? -1,
  kl: ({ klNats }) => klNats ?? -1,
};

interface Options {
  readonly sort: string;
  readonly verify?: true;
  readonly markdown?: true;
  readonly json?: true;
}

/** `weightpress catalog`: exit code 1 when a file is unreadable or, with --verify, damaged. */
export function catalogCommand(): Command {
  return new Command('catalog')
    .argument('<folder>', 'a folder')
    .addOption(new Option('--sort <column>', 'ascending order').choices(Object.keys(SORTS)).default('file'))
    .option('--verify', 'decode and check every file, instead of reading its directory only')
    .option('--markdown', 'print a Markdown table')
    .addOption(jsonOption())
    .addHelpText('after', '\nExample:\n  $ weightpress catalog models --sort ratio --markdown')
    .action(async (folder: string, { sort, markdown, json, ...options }: Options) => {
      const key = SORTS[sort]!;
      const entries = (await catalog(folder, options)).sort((a, b) =>
        key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0,
      );
      if (entries.some(({ problem }) => problem !== undefined)) process.exitCode = 1;
      if (json) return printJson(entries);
      if (markdown) return print(markdownTable(entries));
      print(narrowTable(entries, options.verify ?? false));
      for (const { file, problem } of entries) if (problem !== undefined) printLine(`${file}: ${problem}`);
    });
}

/** Formats the most important columns, in 80 characters. */
function narrowTable(entries: readonly CatalogEntry[], isVerified: boolean): string {
  const cells = Object.fromEntries(COLUMNS);
  const columns: readonly (readonly [heading: string, cell: (entry: CatalogEntry) => string])[] = [
    ['file', cells.file!],
    ['size', cells.compressed!],
    ['ratio', cells.ratio!],
    ['bits per\nweight', cells['bits per weight']!],
    ['KL,\nnats', cells['KL, nats']!],
    ['perplexity', cells.perplexity!],
    ['license', cells.license!],
    ...(isVerified ? [['verified', ({ verified }: CatalogEntry) => (verified ? 'yes' : 'no')] as const] : []),
  ];
  return table(
    columns.map(([heading]) => heading),
    entries.map((entry) => columns.map(([, cell]) => cell(entry))),
  );
}

/** Formats all columns. */
function markdownTable(entries: readonly CatalogEntry[]): string {
  const head = COLUMNS.map(([title]) => title);
  const rows = entries.map((entry) => COLUMNS.map(([, cell]) => cell(entry)));
  const line = (cells: readonly string[]) => `| ${cells.map(plainMarkdown).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}
