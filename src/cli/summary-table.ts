import type { Summary } from '../press/summary.js';
import { bytes, count, percent, table } from './terminal.js';

/** The closing table: by role and part, with a sum that is the file's length. */
export function summaryTable({ rows, fileBytes, originalBytes }: Summary): string {
  const line = (part: string, elements: number, original: number, compressed: number) => [
    part,
    elements ? count(elements) : '',
    count(original),
    count(compressed),
    compressed ? (original / compressed).toFixed(3) : '',
    elements ? ((compressed * 8) / elements).toFixed(3) : '',
  ];
  const elements = rows.reduce((sum, row) => sum + row.elements, 0);
  return table(
    ['', 'elements', 'original bytes', 'compressed bytes', 'ratio', 'bits per weight'],
    [
      ...rows.map((row) => line(row.part, row.elements, row.originalBytes, row.compressedBytes)),
      null,
      line('the whole file', elements, originalBytes, fileBytes),
    ],
  );
}

/** One line that states what share of the original is left, of everything and of the weights alone. */
export function summaryLine({
  fileBytes,
  originalBytes,
  fileBytesWithoutSideFiles,
  tensorBytes,
}: Summary): string {
  return [
    `${bytes(originalBytes)} -> ${bytes(fileBytes)}: ${percent(fileBytes / originalBytes)} of the original, every byte counted`,
    `(without config, tokenizer and texts: ${percent(fileBytesWithoutSideFiles / tensorBytes)} of the tensors' bytes)`,
  ].join(' ');
}
