import { InputError } from '../core/errors.js';
import type { Model } from '../core/model.js';
import { sumOf } from '../core/sum.js';
import { chainedChecksum, hexOf } from '../wasm/lossless.js';
import type { Window } from './windows.js';

/** The predictions that logits belong to. */
export interface Predictions {
  readonly kind: 'causal' | 'masked';
  /** Logits per predicted token. */
  readonly vocabulary: number;
  /** Tokens per window. */
  readonly window: number;
  readonly windows: number;
  /** Number of predicted tokens in all windows. */
  readonly tokens: number;
  /** XXH64 of all windows, their predicted positions and targets, hexadecimal. */
  readonly text: string;
}

/** What stored logits were computed from. */
export interface LogitsOrigin extends Predictions {
  /** Name of the model. */
  readonly model: string;
  /** SHA-256 of the model's config and of the beginning of every tensor, hexadecimal. */
  readonly modelSha256: string;
}

/** Stored logits of a reference, read from the first to the last predicted token. */
export interface StoredLogits {
  /** Path of the file. */
  readonly name: string;
  readonly origin: LogitsOrigin;
  /** Reads the next logits, as many as `target` has. @throws {InputError} for damaged ones. */
  readInto(target: Float32Array): Promise<void>;
  close(): Promise<void>;
}

/** Stores logits, from the first to the last predicted token. */
export interface LogitsWriter {
  write(logits: Float32Array): Promise<void>;
  /** Gives the file its name. @returns its bytes. */
  finish(): Promise<number>;
  /** Removes the incomplete file. */
  discard(): Promise<void>;
}

/** What may be replaced, and what not. */
export interface LogitsOptions {
  readonly force: boolean;
  /** Models that are read: none of their files is replaced. */
  readonly inputs: readonly Model[];
}

/** Where logits are stored. */
export interface LogitsStore {
  /** @throws {InputError} for what is no complete file of logits. */
  open(path: string): Promise<StoredLogits>;
  /** @throws {InputError} when the file is an input, exists and `force` is not set, or cannot be written. */
  create(path: string, model: Model, predictions: Predictions, options: LogitsOptions): Promise<LogitsWriter>;
}

/** Describes what is predicted in windows. */
export function predictionsOf(
  { kind, vocabulary }: Pick<Predictions, 'kind' | 'vocabulary'>,
  windows: readonly Window[],
): Predictions {
  return {
    kind,
    vocabulary,
    window: windows[0]!.input.length,
    windows: windows.length,
    tokens: sumOf(windows, ({ rows }) => rows.length),
    text: digestOf(windows),
  };
}

/** @throws {InputError} unless stored logits are of the same kind and vocabulary. */
export function requireComparable(
  stored: StoredLogits,
  { kind, vocabulary }: Pick<Predictions, 'kind' | 'vocabulary'>,
): void {
  const { origin } = stored;
  refuseIf(origin.kind !== kind, stored, `logits of a ${origin.kind} model, and this one is ${kind}`);
  refuseIf(
    origin.vocabulary !== vocabulary,
    stored,
    `logits over a vocabulary of ${origin.vocabulary}, and this model's has ${vocabulary}`,
  );
}

/** @throws {InputError} unless stored logits belong to the same windows of the same text. */
export function requireSame(stored: StoredLogits, { window, windows, tokens, text }: Predictions): void {
  const { origin } = stored;
  refuseIf(
    origin.window !== window,
    stored,
    `logits of windows of ${origin.window} tokens, and the text was cut into windows of ${window}`,
  );
  refuseIf(
    origin.windows !== windows,
    stored,
    `logits of ${origin.windows} windows, and the text has ${windows} of ${window} tokens`,
  );
  refuseIf(
    origin.tokens !== tokens,
    stored,
    `logits of ${origin.tokens} predicted tokens, and ${tokens} are to be predicted; those of whole windows and of second halves differ`,
  );
  refuseIf(origin.text !== text, stored, 'logits of another text');
}

function refuseIf(differs: boolean, { name }: StoredLogits, what: string): void {
  if (differs) throw new InputError(what, { file: name });
}

function digestOf(windows: readonly Window[]): string {
  let sum = 0n;
  for (const { input, rows, targets } of windows)
    for (const { buffer, byteOffset, byteLength } of [input, Int32Array.from(rows), targets])
      sum = chainedChecksum(new Uint8Array(buffer, byteOffset, byteLength), sum);
  return hexOf(sum);
}
