/** A value of a pickle. Lists and tuples are arrays, dicts are Maps, and objects are those of the allow-list. */
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

/** An object built from a name on the allow-list. */
export abstract class PickleObject {
  /** Sets the object's state from the pickle. @throws {RangeError} when it is invalid. */
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

/** A class or function on the allow-list, and the function that builds its value. */
export class Name extends PickleObject {
  constructor(
    readonly name: string,
    readonly build: Build,
  ) {
    super();
  }
}

/** Builds a value from arguments, without running code of the pickle. @throws {RangeError} for invalid arguments. */
export type Build = (args: readonly PickleValue[], name: string) => PickleValue;

/** Names that a pickle may use, as `module.name`. */
export type Allowed = ReadonlyMap<string, Build>;
