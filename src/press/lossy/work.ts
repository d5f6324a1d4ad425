import { encodeBlock } from '../../codec/lossy/block.js';
import type { Codes } from '../../codec/lossy/codes.js';
import { ROWS_PER_BLOCK } from '../../codec/lossy/levels.js';
import { type TensorParameters, writeParameters } from '../../codec/lossy/parameters.js';
import { readTables } from '../../codec/lossy/tables.js';
import { IndexCoder, type IndexTables } from '../../kernels/indices.js';

/** A matrix as integers, with all that its values depend on but the file's tables. */
export interface Quantised {
  readonly parameters: TensorParameters;
  readonly rows: Codes;
  /** [rows, columns] */
  readonly indices: Int16Array;
}

let coder: IndexCoder | undefined;
let known: { readonly bytes: Uint8Array; readonly tables: IndexTables } | undefined;

/** The payloads of a quantised matrix: its parameters, then its blocks. `tables`: the file's, as stored. */
export function encodeMatrix({ parameters, rows, indices }: Quantised, tables: Uint8Array): Uint8Array[] {
  coder ??= new IndexCoder();
  if (known?.bytes.join() !== tables.join()) known = { bytes: tables, tables: readTables(tables) };
  const columns = parameters.columns.steps.length;
  const payloads = [writeParameters(parameters)];
  for (let start = 0; start < rows.steps.length; start += ROWS_PER_BLOCK) {
    const end = Math.min(rows.steps.length, start + ROWS_PER_BLOCK);
    payloads.push(
      encodeBlock(coder, known!.tables, parameters, {
        rows: {
          steps: rows.steps.subarray(start, end),
          contexts: rows.contexts.subarray(start, end),
          factors: rows.factors?.subarray(start, end),
        },
        indices: indices.subarray(start * columns, end * columns),
      }),
    );
  }
  return payloads;
}
