import type { ForwardPlan } from '../architectures/forward.js';
import { DTYPE_BYTES, elementCount } from '../core/dtype.js';
import { InputError } from '../core/errors.js';
import { toFloats } from '../core/floats.js';
import type { Model, TensorInfo } from '../core/model.js';

/** A tensor that is stored beside the one that is computed with, and must equal it. */
export interface Copy {
  readonly copy: TensorInfo;
  readonly of: TensorInfo;
}

/** Names in a refusal. */
const MAX_NAMES = 4;

/**
 * Accounts for every tensor of a model: bound to a graph, known not to be needed, or a copy, which is returned.
 * @throws {InputError} naming those that are none of these: a number computed without them would be wrong.
 */
export function copiesOf(
  model: Model,
  { copies = {}, unneeded }: ForwardPlan,
  prefix: string,
  bound: readonly { readonly tensor: TensorInfo }[],
): Copy[] {
  const plain = (name: string) => (name.startsWith(prefix) ? name.slice(prefix.length) : name);
  const used = new Set(bound.map(({ tensor }) => tensor.name));
  const byPlainName = new Map(bound.map(({ tensor }) => [plain(tensor.name), tensor]));
  const left = model.tensors.filter(({ name }) => !used.has(name) && !unneeded?.test(plain(name)));
  const found = left.flatMap((copy): Copy[] => {
    const name = plain(copy.name);
    const of = Object.hasOwn(copies, name) ? byPlainName.get(copies[name]!) : undefined;
    return of && `${of.shape}` === `${copy.shape}` ? [{ copy, of }] : [];
  });
  const copied = new Set(found.map(({ copy }) => copy));
  const unused = left.filter((tensor) => !copied.has(tensor));
  if (!unused.length) return found;
  const names = unused.slice(0, MAX_NAMES).map(({ name }) => name);
  const more = unused.length > names.length ? ` and ${unused.length - names.length} more` : '';
  throw new InputError(
    `${unused.length === 1 ? 'a tensor has' : `${unused.length} tensors have`} no place in models of this config, and a number without ${unused.length === 1 ? 'it' : 'them'} would be wrong: ${names.join(', ')}${more}`,
    { file: model.id },
  );
}

/** Elements compared at a time. */
const PIECE_ELEMENTS = 2 ** 20;

/**
 * Reads copies and what they are copies of, where their digests do not say already that they are equal.
 * @throws {InputError} naming a tensor that differs. Implementations differ here too: transformers 4 takes the embedding, 5 the head.
 */
export async function checkCopies(
  model: Model,
  copies: readonly Copy[],
  signal?: AbortSignal,
): Promise<void> {
  for (const { copy, of } of copies)
    if (!(await areEqual(model, copy, of, signal)))
      throw new InputError(
        `differs from ${of.name}, which the config (tie_word_embeddings) says it equals; with tie_word_embeddings false in config.json it is used`,
        { file: model.id, tensor: copy.name },
      );
}

async function areEqual(model: Model, a: TensorInfo, b: TensorInfo, signal?: AbortSignal): Promise<boolean> {
  if (a.sha256 !== undefined && a.sha256 === b.sha256 && a.dtype === b.dtype) return true;
  const elements = elementCount(a.shape);
  for (let start = 0; start < elements; start += PIECE_ELEMENTS) {
    const end = Math.min(elements, start + PIECE_ELEMENTS);
    const read = async (tensor: TensorInfo) => {
      const size = DTYPE_BYTES[tensor.dtype];
      return toFloats(model, tensor, await model.readTensor(tensor.name, start * size, end * size, signal));
    };
    const [own, other] = [await read(a), await read(b)];
    if (own.some((value, i) => value !== other[i])) return false;
  }
  return true;
}
