import { InputError } from '../core/errors.js';
import type { Program } from '../inference/program.js';
import { loadTokenizer } from '../tokenizer/tokenizer.js';
import type { EvaluateOptions } from './options.js';
import type { StoredLogits } from './stored-logits.js';
import { cutWindows, type Window } from './windows.js';

/** Maximum tokens per window by default. */
const LONGEST_DEFAULT_WINDOW = 2048;

/** @throws {InputError} for models whose predictions cannot be compared. */
export function checkComparable(program: Program, reference: Program): void {
  const [own, other] = [program.plan.vocabulary, reference.plan.vocabulary];
  if (own !== other)
    throw new InputError(
      `cannot compare a vocabulary of ${own} with that of ${reference.model.id}, ${other}`,
      { file: program.model.id },
    );
  if (program.plan.kind !== reference.plan.kind)
    throw new InputError(`cannot compare a ${program.plan.kind} model with a ${reference.plan.kind} one`, {
      file: program.model.id,
    });
}

/** Returns the windows of a text; by default as many, and as long, as logits are stored for. @throws {InputError} for one that is too short, and settings that do not fit. */
export async function windowsOf(
  { model, plan }: Program,
  reference: Program | undefined,
  stored: StoredLogits | undefined,
  { text, tokens, window, maxTokens, maskToken, secondHalf }: EvaluateOptions,
): Promise<Window[]> {
  const context = Math.min(plan.context, reference?.plan.context ?? plan.context);
  const length = window ?? stored?.origin.window ?? Math.min(context, LONGEST_DEFAULT_WINDOW);
  const least = plan.kind === 'causal' ? 2 : 1;
  if (!(Number.isInteger(length) && length >= least && length <= context))
    throw new InputError(`expected a window of ${least} to ${context} tokens, found ${length}`);
  const tokenizer = text === undefined ? undefined : await loadTokenizer(model);
  const all = tokenizer?.encode(text!) ?? tokens ?? [];
  const most = maxTokens ?? (stored ? stored.origin.windows * length : all.length);
  return cutWindows(Array.prototype.slice.call(all, 0, Math.min(all.length, most)), {
    kind: plan.kind,
    length,
    vocabulary: plan.vocabulary,
    maskToken: maskToken ?? tokenizer?.maskToken,
    firstToken: tokenizer?.firstToken,
    secondHalf,
  });
}
