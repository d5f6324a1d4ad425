import type { Model } from '../../core/model.js';
import { openModel } from '../../open/open.js';
import { Base } from '../../wpk/base.js';

/**
 * Opens the base, if one is given, and closes it after the work. An opened model stays open.
 * @throws {InputError} for one that has a base itself, or has changed meanwhile.
 */
export async function withBase<Result>(
  {
    base: given,
    signal,
  }: { readonly base?: string | Model | undefined; readonly signal?: AbortSignal | undefined },
  work: (base: Base | undefined) => Promise<Result>,
): Promise<Result> {
  const opened =
    typeof given === 'string' ? await openModel(given, { reading: 'download', signal }) : undefined;
  const model = opened ?? (given as Model | undefined);
  try {
    const result = await work(model && new Base(model));
    await model?.verify?.();
    return result;
  } finally {
    await opened?.close();
  }
}
