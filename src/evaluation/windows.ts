import type { ForwardPlan } from '../architectures/forward.js';
import { InputError } from '../core/errors.js';
import { randomNumbers } from '../core/random.js';

/** A window of input tokens and its targets. */
export interface Window {
  readonly input: Int32Array;
  /** Positions whose logits are scored, in order. */
  readonly rows: readonly number[];
  /** The target token of each of these positions. */
  readonly targets: Int32Array;
}

export interface WindowOptions {
  readonly kind: ForwardPlan['kind'];
  /** Tokens per window. */
  readonly length: number;
  readonly vocabulary: number;
  /** Mask token of masked models. */
  readonly maskToken?: number | undefined;
  /** For causal models: takes the place of the first token of each window, such as BOS, without which some predict nonsense. */
  readonly firstToken?: number | undefined;
  /** For causal models: predicts the second half of each window only. */
  readonly secondHalf?: boolean | undefined;
}

/** Share of masked tokens, as in training. */
const MASKED_SHARE = 0.15;
const MASK_SEED = 1;

/**
 * Cuts tokens into contiguous windows of `length` tokens; an incomplete last window is dropped. Causal models predict all tokens of a
 * window except the first, masked ones 15 % of the tokens, which are chosen with a fixed seed.
 * @throws {InputError} for fewer tokens than a window, for ids out of range, and for the second half where there is none to predict.
 */
export function cutWindows(tokens: ArrayLike<number>, options: WindowOptions): Window[] {
  const { kind, length, vocabulary, maskToken, firstToken, secondHalf } = options;
  checkTokens(tokens, vocabulary);
  const count = Math.floor(tokens.length / length);
  if (!count)
    throw new InputError(`the text has ${tokens.length} tokens, fewer than one window of ${length}`);
  const pieces = Array.from({ length: count }, (_, i) =>
    Int32Array.from({ length }, (_, j) => tokens[i * length + j]!),
  );
  if (kind === 'causal') {
    const first = secondHalf ? length >> 1 : 0;
    if (first > length - 2)
      throw new InputError(`a window of ${length} tokens has no second half to predict`);
    if (firstToken !== undefined) for (const piece of pieces) piece[0] = firstToken;
    return pieces.map((tokens) => nextTokens(tokens, first));
  }
  if (secondHalf)
    throw new InputError('a masked model predicts tokens everywhere in a window, not its second half');
  if (maskToken === undefined)
    throw new InputError('masked language model without a mask token in its tokenizer');
  checkTokens([maskToken], vocabulary);
  const random = randomNumbers(MASK_SEED);
  return pieces.map((tokens) => hiddenTokens(tokens, maskToken, random));
}

function nextTokens(tokens: Int32Array, first: number): Window {
  const rows = Array.from({ length: tokens.length - 1 - first }, (_, i) => first + i);
  return { input: tokens, rows, targets: tokens.subarray(first + 1) };
}

/** Masks tokens of a window; every window has the same number of masks, so that windows have equal weight. */
function hiddenTokens(tokens: Int32Array, maskToken: number, random: () => number): Window {
  const count = Math.max(1, Math.round(MASKED_SHARE * tokens.length));
  const order = Array.from(tokens, (_, position) => ({ position, key: random() }));
  const chosen = order.sort((a, b) => a.key - b.key).slice(0, count);
  const rows = chosen.map(({ position }) => position).sort((a, b) => a - b);
  const input = tokens.slice();
  for (const row of rows) input[row] = maskToken;
  return { input, rows, targets: Int32Array.from(rows, (row) => tokens[row]!) };
}

function checkTokens(tokens: ArrayLike<number>, vocabulary: number): void {
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i]!;
    if (!(Number.isInteger(token) && token >= 0 && token < vocabulary))
      throw new InputError(`token ${i}: expected an id below ${vocabulary}, found ${token}`);
  }
}
