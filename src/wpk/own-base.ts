import type { DecoderSide } from '../codecs/codec.js';
import { InputError, IntegrityError } from '../core/errors.js';
import { sha256 as digestOf } from '../core/web-sha256.js';
import { Base, type BasePlace, type FindBase } from './base.js';
import { bytesOf, type Directory, type StoredTensorEntry } from './directory.js';
import type { PlannedBlock } from './plan.js';

/** Larger tensors are not read whole to tell whether the base or the file is at fault. */
const MAX_EXPLAINED_BYTES = 2 ** 28;

/** The base of an open file, which is found and opened when a tensor first needs it. */
export class OwnBase {
  private opened: Promise<Base> | undefined;

  constructor(
    private readonly file: string,
    private readonly directory: Directory,
    private readonly find: FindBase | undefined,
  ) {}

  /**
   * Returns what a block needs for decoding, given what its tensor does: the base's elements too, if it has a base.
   * @throws {InputError} when the base is not found, or is another.
   */
  async side(
    tensor: StoredTensorEntry,
    { firstByte, endByte }: Pick<PlannedBlock, 'firstByte' | 'endByte'>,
    side: DecoderSide,
    signal?: AbortSignal,
  ): Promise<DecoderSide> {
    if (!tensor.base) return side;
    const base = await this.open();
    return { ...side, base: await base.read(tensor.base.name, tensor, firstByte, endByte, signal) };
  }

  /** Returns where a thread can read the base's elements of a block itself; undefined if there is no such place, or no base. */
  async place(
    tensor: StoredTensorEntry,
    { firstByte, endByte }: Pick<PlannedBlock, 'firstByte' | 'endByte'>,
  ): Promise<BasePlace | undefined> {
    if (!tensor.base) return undefined;
    return (await this.open()).place(tensor.base.name, tensor, firstByte, endByte);
  }

  /** Opens the base once. @throws {InputError} when it is not found, or its own digests show that it is another. */
  open(): Promise<Base> {
    this.opened ??= this.findAndCheck();
    return this.opened;
  }

  /** Returns what decoding of a tensor gives. @throws {InputError} that the base is another one, if that is why it fails. */
  async explained<Result>(tensor: StoredTensorEntry, decoding: Promise<Result>): Promise<Result> {
    try {
      return await decoding;
    } catch (error) {
      throw await this.explain(tensor, error);
    }
  }

  private async explain(tensor: StoredTensorEntry, error: unknown): Promise<unknown> {
    if (!tensor.base || !(error instanceof IntegrityError) || bytesOf(tensor) > MAX_EXPLAINED_BYTES)
      return error;
    const base = await this.open();
    const { name, sha256 } = tensor.base;
    const bytes = await base.read(name, tensor, 0, bytesOf(tensor));
    const found = await digestOf(bytes);
    return found === undefined || found === sha256 ? error : this.another(base, name, error);
  }

  async close(): Promise<void> {
    const base = await this.opened?.catch(() => undefined);
    await base?.model.close();
  }

  private async findAndCheck(): Promise<Base> {
    const { file, find, directory } = this;
    const { name } = directory.base!;
    if (!find)
      throw new InputError(
        `is stored as differences from ${JSON.stringify(name)}: it needs that base`,
        { file },
        { code: 'needs-base' },
      );
    const model = await find(directory.base!, file);
    try {
      return this.checked(new Base(model));
    } catch (error) {
      await model.close();
      throw error;
    }
  }

  private checked(base: Base): Base {
    for (const tensor of this.directory.tensors) {
      if (!tensor.base) continue;
      const known = base.knownDigest(tensor.base.name, tensor);
      if (!base.has(tensor.base.name, tensor) || (known ?? tensor.base.sha256) !== tensor.base.sha256)
        throw this.another(base, tensor.base.name);
    }
    return base;
  }

  private another({ model }: Base, tensor: string, cause?: unknown): InputError {
    const { name, sha256 } = this.directory.base!;
    return new InputError(
      `is not the base of ${this.file}: that is ${JSON.stringify(name)}, with digest ${sha256.slice(0, 16)}`,
      { file: model.id, tensor },
      { cause, code: 'needs-base' },
    );
  }
}
