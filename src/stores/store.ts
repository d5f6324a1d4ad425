/** Objects by name, in a bucket or a folder that several machines share. An object is written once and never changed. */
export interface Store {
  /** Address without credentials, for messages. */
  readonly name: string;
  /** What this process has moved. */
  readonly traffic: Traffic;
  /** Returns the bytes of an object; undefined if there is none. @throws {ConnectionError} when the store cannot be reached. */
  size(key: string, signal?: AbortSignal): Promise<number | undefined>;
  /**
   * Reads bytes `start` to `end` (exclusive; default: all) of an object, in memory that the caller owns.
   * @throws {InputError} when there is no such object, or it is shorter. @throws {ConnectionError} when the store cannot be reached.
   */
  read(key: string, start?: number, end?: number, signal?: AbortSignal): Promise<Uint8Array>;
  /**
   * Writes an object, which has its name only when it is whole and durable. If another writer was first, its object stays.
   * @param pieces in order; each must stay unchanged until the next one is asked for. They are not read if the object is there.
   * @param byteLength bytes of all pieces, if known: a large upload then needs less memory.
   * @param isReplacing takes the place of an existing object at once, as outputs of users may. @returns whether this call wrote it.
   * @throws {InputError} when the store is full or refuses. @throws {ConnectionError} when it cannot be reached.
   */
  write(
    key: string,
    pieces: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
    signal?: AbortSignal,
    byteLength?: number,
    isReplacing?: boolean,
  ): Promise<boolean>;
  /** Lists the objects whose keys start with a prefix, in no order. */
  list(prefix: string, signal?: AbortSignal): AsyncIterable<StoredObject>;
  /** Removes an object; does nothing if there is none. */
  remove(key: string): Promise<void>;
  /** Removes what interrupted writers of any machine left more than `ageMs` milliseconds ago. @returns how many. */
  sweep(ageMs: number): Promise<number>;
  /** Frees connections. */
  close(): Promise<void>;
}

/** Bytes of objects that a process has read from and written to a store. */
export interface Traffic {
  readBytes: number;
  writtenBytes: number;
}

/** An object of a store. */
export interface StoredObject {
  /** Its name: parts of letters, digits, `.`, `_` and `-`, separated by `/`. No part is `.` or `..` or ends with `.partial`. */
  readonly key: string;
  /** Bytes in it. */
  readonly bytes: number;
}
