import type { Model } from '../../core/model.js';
import { checkOutput } from '../../io/node/checked-output.js';
import { inputsOf } from '../../models/node/inputs.js';
import { openModel } from '../../open/open.js';
import { Base } from '../../wpk/base.js';

/** Options of {@link withBase}. */
interface BaseOptions {
  readonly base?: string | Model | undefined;
  readonly force?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Opens the base, if one is given, and closes it after the work. An opened model stays open.
 * @throws {InputError} for one that has a base itself, or that the output would replace.
 */
export async function withBase<Result>(
  output: string,
  { base: given, signal, force = false }: BaseOptions,
  work: (base: Base | undefined) => Promise<Result>,
): Promise<Result> {
  const opened =
    typeof given === 'string' ? await openModel(given, { reading: 'download', signal }) : undefined;
  const model = opened ?? (given as Model | undefined);
  try {
    if (model) await checkOutput(output, inputsOf(model), force);
    return await work(model && new Base(model));
  } finally {
    await opened?.close();
  }
}
