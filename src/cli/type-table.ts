import { TYPE_HEADS, typeRows } from '../operations/quantize/summary.js';
import { table } from './format.js';

/** Printed of a file with the checkpoint's names. */
export const CANNOT_LOAD = "llama.cpp cannot load this file: its tensors have the checkpoint's names";

/** Returns the table of a GGUF file's types: how many tensors, weights and bytes each has. */
export function typeTable(tensors: Parameters<typeof typeRows>[0]): string {
  const { types, all } = typeRows(tensors);
  const heads = TYPE_HEADS.map((head) => head.replace(/ (?=weight$)/, '\n'));
  return table(heads, [...types, null, all]);
}
