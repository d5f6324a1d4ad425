import type { ForwardPlan } from '../architectures/forward.js';
import { withoutPrefix } from '../architectures/tensor-roles.js';
import { DTYPE_BYTES, elementCount } from '../core/dtype.js';
import { InputError } from '../core/errors.js';
import { toFloats } from '../core/floats.js';
import type { Model, TensorInfo } from '../core/model.js';

/** A stored tensor that is not used and must equal one that is. */
export interface Copy {
  readonly copy: TensorInfo;
  readonly original: TensorInfo;
}

/** Names listed in a message. */
const MAX_NAMES = 4;

/**
 * Checks that every tensor of a model is used by a graph, known to be unneeded, or a copy. @param isUnneeded of further tensors, by name.
 * @returns the copies. @throws {InputError} listing tensors that are none of these, since results without them would be wrong.
 */
export function copiesOf(
  model: Model,
  { family, ...plan }: ForwardPlan,
  bound: readonly { readonly tensor: TensorInfo }[],
  isUnneeded: (name: string) => boolean = () => false,
): Copy[] {
  const { copies = {}, buffers, unneeded } = family;
  const plain = (name: string) => withoutPrefix(name, family);
  const used = new Set(bound.map(({ tensor }) => tensor.name));
  const byPlainName = new Map(bound.map(({ tensor }) => [plain(tensor.name), tensor]));
  const rest = model.tensors.filter(
    ({ name }) =>
      !used.has(name) &&
      !isUnneeded(name) &&
      ![buffers, unneeded, plan.unneeded].some((ignored) => ignored?.test(plain(name))),
  );
  const found = rest.flatMap((copy): Copy[] => {
    const name = plain(copy.name);
    const original = Object.hasOwn(copies, name) ? byPlainName.get(copies[name]!) : undefined;
    return original && `${original.shape}` === `${copy.shape}` ? [{ copy, original }] : [];
  });
  const copied = new Set(found.map(({ copy }) => copy));
  const unused = rest.filter((tensor) => !copied.has(tensor));
  if (!unused.length) return found;
  const names = unused.slice(0, MAX_NAMES).map(({ name }) => name);
  const more = unused.length > names.length ? ` and ${unused.length - names.length} more` : '';
  throw new InputError(
    `${unused.length === 1 ? 'a tensor is' : `${unused.length} tensors are`} not used by the architecture in config.json, so results would be wrong: ${names.join(', ')}${more}`,
    { file: model.id },
  );
}

/** Elements compared per step. */
const PIECE_ELEMENTS = 2 ** 20;

/**
 * Compares copies with their originals, reading them unless their digests are equal.
 * @throws {InputError} naming a tensor that differs. In that case, transformers 4 uses the embedding and transformers 5 the head.
 */
export async function checkCopies(
  model: Model,
  copies: readonly Copy[],
  signal?: AbortSignal,
): Promise<void> {
  for (const { copy, original } of copies)
    if (!(await areEqual(model, copy, original, signal)))
      throw new InputError(
        `differs from ${original.name}, although tie_word_embeddings in config.json ties them; set it to false to use this tensor`,
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
