import type { Block } from '../codecs/lossless/block.js';
import type { FilePlace } from '../core/byte-source.js';
import { DTYPE_BYTES, type Dtype, elementCount } from '../core/dtype.js';
import { ELEMENTS } from '../core/elements.js';
import { InputError } from '../core/errors.js';
import { canWiden, widenerOf } from '../core/floats.js';
import type { Model, TensorInfo } from '../core/model.js';

/** The base of a file, as its directory names it. */
export interface StoredBase {
  /** Name of the folder or file, or `user/name@commit`. */
  readonly name: string;
  /** SHA-256 of the digests of its tensors that the file's tensors are differences from, in order. */
  readonly sha256: string;
}

/** The tensor of the base that a tensor is a difference from. */
export interface TensorBase {
  readonly name: string;
  /** SHA-256 of its elements, converted to the tensor's type and cut to its length. */
  readonly sha256: string;
}

/** Where a thread reads the base's elements of a block: as they are, or as the frame of the same block in a .wpk. */
export interface BasePlace extends FilePlace {
  readonly frameOf?: { readonly tensor: string; readonly block: Block };
}

/** Opens the base of a file, whose owner closes it. @param wpk the file's name. @throws {InputError} when it is not found. */
export type FindBase = (base: StoredBase, wpk: string) => Promise<Model>;

type Shaped = Pick<TensorInfo, 'dtype' | 'shape'>;

/** Reads the elements of a model that another one is stored as differences from. */
export class Base {
  private readonly tensors: ReadonlyMap<string, TensorInfo>;
  private readonly byPlainName: ReadonlyMap<string, TensorInfo | undefined>;

  /** @throws {InputError} for a .wpk that has a base itself. */
  constructor(readonly model: Model) {
    const { container } = model as {
      readonly container?: { readonly directory: { readonly base?: StoredBase } };
    };
    const further = container?.directory.base;
    if (further) throw hasBase(model.id, further.name);
    this.tensors = new Map(model.tensors.map((tensor) => [tensor.name, tensor]));
    const plain = new Map<string, TensorInfo | undefined>();
    for (const tensor of model.tensors) {
      const name = plainName(tensor.name);
      plain.set(name, plain.has(name) ? undefined : tensor); // of two, neither is meant
    }
    this.byPlainName = plain;
  }

  /** Returns the tensor that another model's tensor can be a difference from: of its name, wrappers' prefixes aside, with rows as long. */
  match(tensor: Shaped & { readonly name: string }): TensorInfo | undefined {
    const found = this.tensors.get(tensor.name) ?? this.byPlainName.get(plainName(tensor.name));
    return found && fits(found, tensor) ? found : undefined;
  }

  /**
   * Reads the elements of the tensor `name` in the place of bytes `firstByte` to `endByte` of a tensor like `as`, in its type: fewer, if
   * the base's tensor ends before. @throws {InputError} when there is no such tensor.
   */
  async read(
    name: string,
    as: Shaped,
    firstByte: number,
    endByte: number,
    signal?: AbortSignal,
  ): Promise<Uint8Array> {
    const { found, start, end } = this.rangeOf(name, as, firstByte, endByte);
    const read = await this.model.readTensor(name, start, end, signal);
    // a part of a larger buffer belongs to the model, but what is returned moves to workers, or is rounded in place
    const bytes = read.length < read.buffer.byteLength ? read.slice() : read;
    return found.dtype === as.dtype ? bytes : convert(this.model, found, as.dtype, bytes);
  }

  /**
   * Returns where a thread reads what {@link read} returns; undefined where no bytes of a file of this machine are that.
   * @throws {InputError} when there is no such tensor.
   */
  place(name: string, as: Shaped, firstByte: number, endByte: number): BasePlace | undefined {
    const { found, start, end } = this.rangeOf(name, as, firstByte, endByte);
    const { placeOf } = this.model as Model & {
      placeOf?(name: string, start: number, end: number): BasePlace | undefined;
    };
    return found.dtype === as.dtype ? placeOf?.call(this.model, name, start, end) : undefined;
  }

  /** Returns the base's tensor, and the range of its bytes in the place of another's. @throws {InputError} when there is none. */
  private rangeOf(name: string, as: Shaped, firstByte: number, endByte: number) {
    const found = this.tensors.get(name);
    if (!found || !fits(found, as))
      throw new InputError(
        `has no tensor of ${as.dtype} with rows of ${as.shape.slice(1)}, which a difference is from`,
        {
          file: this.model.id,
          tensor: name,
        },
      );
    const [width, own] = [DTYPE_BYTES[as.dtype], DTYPE_BYTES[found.dtype]];
    const elements = elementCount(found.shape);
    const ownByte = (byte: number) => Math.min(byte / width, elements) * own;
    return { found, start: ownByte(firstByte), end: ownByte(endByte) };
  }

  /** Returns the SHA-256 of what a tensor is a difference from, if its file says it. @param name of the base's tensor. */
  knownDigest(name: string, as: Shaped): string | undefined {
    const found = this.tensors.get(name);
    const isWhole = found?.dtype === as.dtype && elementCount(found.shape) <= elementCount(as.shape);
    return isWhole ? found.sha256 : undefined;
  }

  /** Returns whether there is a tensor that one like `as` can be a difference from. */
  has(name: string, as: Shaped): boolean {
    const found = this.tensors.get(name);
    return found !== undefined && fits(found, as);
  }
}

/** Returns whether elements of one tensor lie in the place of the other's: the same type or both floats, and rows of the same length. */
function fits(base: Shaped, tensor: Shaped): boolean {
  const isType = base.dtype === tensor.dtype || (isRounded(base.dtype) && isRounded(tensor.dtype));
  const [own, other] = [base.shape.slice(1), tensor.shape.slice(1)];
  return isType && base.shape.length === tensor.shape.length && own.every((n, i) => n === other[i]);
}

const isRounded = (dtype: Dtype): dtype is keyof typeof ELEMENTS => dtype in ELEMENTS && canWiden(dtype);

function convert(model: Model, { name, dtype }: TensorInfo, to: Dtype, bytes: Uint8Array): Uint8Array {
  const floats = widenerOf(model, name, dtype)(bytes);
  return ELEMENTS[to as keyof typeof ELEMENTS](floats);
}

/** What training and adapters put before or into names. */
const WRAPPERS =
  /^(?:module\.|_orig_mod\.|base_model\.model\.|model\.|transformer\.|language_model\.)+|\.base_layer(?=\.)/g;

function plainName(name: string): string {
  return name.replaceAll(WRAPPERS, '');
}

/** Returns the refusal of a base that is stored as differences itself. */
export function hasBase(file: string, name: string): InputError {
  return new InputError(`has a base itself, ${JSON.stringify(name)}; a base must be complete`, { file });
}

/** Returns a model that closing a file leaves open, because its opener closes it. */
export function unowned(model: Model): Model {
  return Object.assign(Object.create(model) as Model, { close: async () => {} });
}
