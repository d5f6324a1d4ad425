import type { ForwardPlan } from '../../architectures/forward.js';
import { planForward } from '../../architectures/forward.js';
import { InputError } from '../../core/errors.js';
import { readConfig } from '../../models/gguf/config.js';
import type { GgufFamily } from '../../models/gguf/family.js';
import type { GgufEntry } from '../../models/gguf/header-writer.js';
import type { Factors } from '../../models/gguf/rope.js';
import { differenceOf } from '../../models/gguf/same.js';

/**
 * Returns the settings of a model as they are written: the context is limited to what llama.cpp computes the same, where it has no
 * windows or no scaling that depends on the length; windows as long as the context are none, and reserved positions are left out.
 */
export function writable({ windows }: GgufFamily, plan: ForwardPlan): ForwardPlan {
  const all = plan.size.positions - (plan.embedding.positions?.offset ?? 0);
  const context = windows ? all : Math.min(all, ...plan.positions.map(({ window }) => window ?? all));
  const positions = plan.positions.map(({ window, rotary, ...rest }) => ({
    ...rest,
    ...(window !== undefined && window < context && { window }),
    ...(rotary && {
      rotary:
        rotary.scaling.type === 'dynamic' ? { ...rotary, scaling: { type: 'default' } as const } : rotary,
    }),
  }));
  const { positions: table } = plan.embedding;
  const embedding = table
    ? { ...plan.embedding, positions: { rows: table.rows - table.offset, offset: 0 } }
    : plan.embedding;
  return { ...plan, context, positions, embedding };
}

/**
 * Checks that llama.cpp computes the model from the metadata and the tensors: it reads them, and compares.
 * @throws {InputError} naming what llama.cpp would compute in another way.
 */
export function checkSettings(
  gguf: GgufFamily,
  plan: ForwardPlan,
  {
    entries,
    tensors,
    factors,
    file,
  }: {
    readonly entries: readonly GgufEntry[];
    readonly tensors: readonly { readonly name: string; readonly shape: readonly number[] }[];
    readonly factors: Factors;
    readonly file: string;
  },
): void {
  const refuse = (what: string) => {
    throw new InputError(`config.json: llama.cpp does not compute this ${plan.family.name}: ${what}`, {
      file,
    });
  };
  const known = gguf.refuses?.(plan);
  if (known) refuse(known);
  if (gguf.isTied && !plan.head.tied) refuse('tie_word_embeddings false');
  const metadata = new Map(entries.map(({ key, value }) => [key, asStored(value)]));
  const config = readConfig(gguf, { metadata }, tensors, factors, file);
  const difference = differenceOf(plan, planForward(gguf.family, config), gguf.isHeadless);
  if (difference) refuse(difference);
}

/** Returns a value as it is read back: numbers lose precision. */
function asStored(value: GgufEntry['value']) {
  if (typeof value === 'number' && !Number.isInteger(value)) return Math.fround(value);
  return value as number | boolean | string | (number | boolean | string)[];
}
