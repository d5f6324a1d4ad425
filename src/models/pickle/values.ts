/** What a pickle can hold here. Lists and tuples are arrays, dicts are Maps; objects are those of the allow-list. */
export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | PickleValue[]
  | Map<PickleValue, PickleValue>
  | Set<PickleValue>
  | PickleObject;

/** Anything that is built by a name on the allow-list. */
export abstract class PickleObject {
  /** Takes what the pickle says the object's state is. @throws {RangeError} when that makes no sense. */
  setState(_state: PickleValue): void {}
}

export class Complex extends PickleObject {
  constructor(
    readonly real: number,
    readonly imaginary: number,
  ) {
    super();
  }
}

/** A name that the pickle asked for, and what applying it to arguments builds. */
export class Name extends PickleObject {
  constructor(
    readonly name: string,
    readonly build: Build,
  ) {
    super();
  }
}

/** Pure: builds a value from arguments, runs nothing. @throws {RangeError} for arguments that it does not take. */
export type Build = (args: readonly PickleValue[], name: string) => PickleValue;

/** What a pickle may ask for, by `module.name`. */
export type Allowed = ReadonlyMap<string, Build>;
