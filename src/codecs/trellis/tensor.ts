import { type ElementKind, indexCoder } from '../../wasm/indices.js';
import type { Block } from '../lossless/block.js';
import { equal } from '../lossless/patterns.js';
import { decodeBlock } from './block.js';
import { readParameters } from './parameters.js';
import { readTables } from './tables.js';

/** Wraps a parser so that it caches its last result: blocks of one tensor are decoded one after another. */
function cacheLast<Argument, Result>(read: (bytes: Uint8Array, argument: Argument) => Result) {
  let last: { readonly bytes: Uint8Array; readonly argument: Argument; readonly result: Result } | undefined;
  return (bytes: Uint8Array, argument: Argument): Result => {
    if (
      !last ||
      last.argument !== argument ||
      last.bytes.length !== bytes.length ||
      !equal(last.bytes, bytes)
    )
      last = { bytes: bytes.slice(), argument, result: read(bytes, argument) };
    return last.result;
  };
}

const tablesOf = cacheLast((bytes: Uint8Array, _: undefined) => readTables(bytes));
const parametersOf = cacheLast(readParameters);

/**
 * Decodes a block of rows of a quantized tensor with the calling thread's kernels, to little-endian elements.
 * @throws {RangeError} when tables, parameters or payload are malformed.
 */
export function decodeRows(
  payload: Uint8Array,
  { dtype, count, columns }: Block,
  { tables, parameters }: { readonly tables?: Uint8Array; readonly parameters?: Uint8Array },
): Uint8Array {
  return decodeBlock(
    indexCoder(),
    tablesOf(tables!, undefined),
    parametersOf(parameters!, columns),
    payload,
    count / columns,
    dtype as ElementKind,
  );
}
