import { readFileSync, writeFileSync } from 'node:fs';
import { ALL_KINDS } from './kinds/index.js';
import { Random } from './random.js';

/** Makes the input with a number, the same each time: its kind, and its files. */
export async function makeInput(kinds, seed, number) {
  const kind = kinds[number % kinds.length];
  const count = Math.floor(number / kinds.length);
  return { kind, files: await ALL_KINDS[kind].make(new Random(seed, number), count) };
}

/** Keeps an input in a file of JSON, for `--input`. */
export function saveInput(path, { kind, files }) {
  const content = Object.fromEntries(
    Object.entries(files).map(([name, bytes]) => [name, Buffer.from(bytes).toString('base64')]),
  );
  writeFileSync(path, JSON.stringify({ kind, files: content }));
}

export function loadInput(path) {
  const { kind, files } = JSON.parse(readFileSync(path, 'utf8'));
  return {
    kind,
    files: Object.fromEntries(
      Object.entries(files).map(([name, text]) => [name, Uint8Array.from(Buffer.from(text, 'base64'))]),
    ),
  };
}
