import { InputError } from '../../core/errors.js';
import { FIRST_ELEMENTS_BYTES, MEMO_BYTES, memoryOf, SLOT_BYTES } from './memory.js';
import { PickleReader } from './reader.js';
import { type Allowed, Name, PickleObject, type PickleValue } from './values.js';

export interface PickleOptions {
  /** Names that the pickle may use; others are refused. */
  readonly allowed: Allowed;
  /** File name for messages. */
  readonly file: string;
  /** Offset of the pickle in the bytes; 0 by default. */
  readonly start?: number;
  /** Resolves a persistent id, in PyTorch's files to a storage. Without it such ids are refused. */
  readonly persistent?: (id: PickleValue) => PickleValue;
}

// Limits far above real files: a checkpoint's index takes 100,000 operations.
const MAX_OPERATIONS = 4_000_000;
const MAX_MEMORY_BYTES = 72e6;
const MAX_COPIED_BYTES = 2 ** 26;

const MARK = Symbol('mark');
type Slot = PickleValue | typeof MARK;

/**
 * Reads a pickle, protocols 0 to 5, in an interpreter that builds data only from an allow-list of names and executes no code.
 * @returns the value, and the offset of the pickle's end.
 * @throws {InputError} naming what was refused, or the byte at which the pickle is malformed.
 */
export function readPickle(
  bytes: Uint8Array,
  options: PickleOptions,
): { readonly value: PickleValue; readonly end: number } {
  return new Machine(bytes, options).run();
}

class Machine {
  readonly reader: PickleReader;
  private readonly stack: Slot[] = [];
  private readonly memo = new Map<number, PickleValue>();
  private memory = 0;
  private copied = 0;

  constructor(
    bytes: Uint8Array,
    private readonly options: PickleOptions,
  ) {
    this.reader = new PickleReader(bytes, options.start ?? 0, (what, at) => this.fail(what, at));
  }

  run() {
    const { reader } = this;
    let at = reader.next;
    try {
      for (let count = 0; count < MAX_OPERATIONS; count++) {
        at = reader.next;
        const code = reader.uint8();
        if (code === STOP) return { value: this.pop(), end: reader.next };
        const operation = OPERATIONS[code];
        if (!operation) throw new RangeError(`unknown or forbidden opcode ${code}`);
        operation(this);
      }
    } catch (error) {
      if (error instanceof RangeError) this.fail(error.message, at);
      throw error;
    }
    return this.fail(`over the limit of ${MAX_OPERATIONS} operations`, reader.next);
  }

  fail(what: string, at: number): never {
    throw new InputError(`pickle refused: ${what}`, { file: this.options.file, start: at });
  }

  /** Counts memory used by the pickle's values. @throws {RangeError} over the limit. */
  private spend(bytes: number): void {
    this.memory += bytes;
    if (this.memory > MAX_MEMORY_BYTES)
      throw new RangeError(`values over the limit of ${MAX_MEMORY_BYTES} bytes of memory`);
  }

  /** Pushes a new value. */
  push(value: PickleValue): void {
    this.spend(memoryOf(value));
    this.stack.push(value);
  }

  /** Pushes another reference to a value. */
  pushReference(value: PickleValue): void {
    this.spend(SLOT_BYTES);
    this.stack.push(value);
  }

  pop(): PickleValue {
    const value = this.stack.pop();
    if (value === undefined || value === MARK) throw new RangeError('stack underflow');
    return value;
  }

  top(): PickleValue {
    const value = this.pop();
    this.stack.push(value);
    return value;
  }

  mark(): void {
    this.spend(SLOT_BYTES);
    this.stack.push(MARK);
  }

  /** Pops all values above the last mark, and the mark. */
  popMarked(): PickleValue[] {
    const at = this.stack.lastIndexOf(MARK);
    if (at < 0) throw new RangeError('no mark on the stack');
    const values = this.stack.splice(at + 1) as PickleValue[];
    this.stack.pop();
    return values;
  }

  remember(key: number): void {
    this.spend(MEMO_BYTES);
    this.memo.set(key, this.top());
  }

  recall(key: number): void {
    const value = this.memo.get(key);
    if (value === undefined) throw new RangeError(`memo entry ${key} does not exist`);
    this.pushReference(value);
  }

  get memoSize(): number {
    return this.memo.size;
  }

  pushName(module: PickleValue, name: PickleValue): void {
    if (typeof module !== 'string' || typeof name !== 'string')
      throw new RangeError('expected strings as module and name; nothing was executed');
    const whole = `${module}.${name}`;
    const build = this.options.allowed.get(whole);
    if (!build)
      throw new RangeError(
        `it uses ${JSON.stringify(whole.slice(0, 200))}, which is not allowed; nothing was executed`,
      );
    this.push(new Name(whole, build));
  }

  /** Builds the value of an allowed name from arguments. */
  apply(target: PickleValue, args: PickleValue): void {
    if (!(target instanceof Name))
      throw new RangeError('it calls a value that is not a class or function; nothing was executed');
    if (!Array.isArray(args)) throw new RangeError(`${target.name}: expected a tuple of arguments`);
    this.countCopies(args);
    this.push(target.build(args, target.name));
  }

  /** Counts bytes of arguments, which may be copied, and an argument may be used many times. @throws {RangeError} over the limit. */
  private countCopies(args: readonly PickleValue[]): void {
    for (const value of args) {
      if (Array.isArray(value)) this.copied += 48 * value.length;
      else if (typeof value === 'string' || value instanceof Uint8Array) this.copied += value.length;
    }
    if (this.copied > MAX_COPIED_BYTES)
      throw new RangeError(`copies over the limit of ${MAX_COPIED_BYTES} bytes`);
  }

  pushPersistent(id: PickleValue): void {
    const { persistent } = this.options;
    if (!persistent) throw new RangeError('it has a persistent id, which refers to external data');
    this.push(persistent(id));
  }

  build(state: PickleValue): void {
    const object = this.top();
    this.countCopies(Array.isArray(state) ? state : [state]);
    if (object instanceof PickleObject) object.setState(state);
    else if (!(object instanceof Map)) throw new RangeError('it sets the state of a value that has none');
  }

  append(values: readonly PickleValue[]): void {
    const list = this.top();
    if (!Array.isArray(list)) throw new RangeError('it appends to a value that is not a list');
    if (list.length === 0) this.spend(FIRST_ELEMENTS_BYTES);
    for (const value of values) list.push(value);
  }

  setItems(pairs: readonly PickleValue[]): void {
    const map = this.top();
    if (!(map instanceof Map) || pairs.length % 2)
      throw new RangeError('it sets items of a value that is not a dict');
    for (let i = 0; i < pairs.length; i += 2) map.set(pairs[i]!, pairs[i + 1]!);
  }

  addItems(values: readonly PickleValue[]): void {
    const set = this.top();
    if (!(set instanceof Set)) throw new RangeError('it adds to a value that is not a set');
    for (const value of values) set.add(value);
  }
}

type Operation = (machine: Machine) => void;

const STOP = 0x2e;

/** Operations by opcode. */
const OPERATIONS: Readonly<Record<number, Operation>> = byCode({
  // stack
  '(': (m) => m.mark(),
  '0': (m) => void m.pop(),
  '1': (m) => void m.popMarked(),
  '2': (m) => m.pushReference(m.top()),
  // numbers, None, booleans
  F: (m) => m.push(m.reader.lineNumber()),
  G: (m) => m.push(m.reader.float64()),
  I: (m) => m.push(m.reader.lineInteger(true)),
  J: (m) => m.push(m.reader.int32()),
  K: (m) => m.push(m.reader.uint8()),
  L: (m) => m.push(m.reader.lineInteger(false)),
  M: (m) => m.push(m.reader.uint16()),
  N: (m) => m.push(null),
  '\x88': (m) => m.push(true),
  '\x89': (m) => m.push(false),
  '\x8a': (m) => m.push(m.reader.long(m.reader.uint8())),
  '\x8b': (m) => m.push(m.reader.long(m.reader.uint32())),
  // strings
  S: (m) => m.push(m.reader.quotedLine()),
  V: (m) => m.push(m.reader.unicodeLine()),
  T: (m) => m.push(m.reader.text(m.reader.uint32())),
  U: (m) => m.push(m.reader.text(m.reader.uint8())),
  X: (m) => m.push(m.reader.text(m.reader.uint32())),
  '\x8c': (m) => m.push(m.reader.text(m.reader.uint8())),
  '\x8d': (m) => m.push(m.reader.text(m.reader.uint64())),
  B: (m) => m.push(m.reader.bytes(m.reader.uint32())),
  C: (m) => m.push(m.reader.bytes(m.reader.uint8())),
  '\x8e': (m) => m.push(m.reader.bytes(m.reader.uint64())),
  '\x96': (m) => m.push(m.reader.bytes(m.reader.uint64())),
  // tuples, lists, dicts, sets
  ')': (m) => m.push([]),
  t: (m) => m.push(m.popMarked()),
  '\x85': (m) => m.push([m.pop()]),
  '\x86': (m) => m.push([m.pop(), m.pop()].reverse()),
  '\x87': (m) => m.push([m.pop(), m.pop(), m.pop()].reverse()),
  ']': (m) => m.push([]),
  l: (m) => m.push(m.popMarked()),
  a: (m) => {
    const value = m.pop();
    m.append([value]);
  },
  e: (m) => m.append(m.popMarked()),
  '}': (m) => m.push(new Map()),
  d: (m) => {
    const pairs = m.popMarked();
    m.push(new Map());
    m.setItems(pairs);
  },
  s: (m) => {
    const value = m.pop();
    const key = m.pop();
    m.setItems([key, value]);
  },
  u: (m) => m.setItems(m.popMarked()),
  '\x8f': (m) => m.push(new Set()),
  '\x90': (m) => m.addItems(m.popMarked()),
  '\x91': (m) => m.push(new Set(m.popMarked())),
  // memo
  g: (m) => m.recall(Number(m.reader.lineInteger(false))),
  h: (m) => m.recall(m.reader.uint8()),
  j: (m) => m.recall(m.reader.uint32()),
  p: (m) => m.remember(Number(m.reader.lineInteger(false))),
  q: (m) => m.remember(m.reader.uint8()),
  r: (m) => m.remember(m.reader.uint32()),
  '\x94': (m) => m.remember(m.memoSize),
  // names and the objects built from them
  c: (m) => {
    const module = m.reader.line();
    m.pushName(module, m.reader.line());
  },
  '\x93': (m) => {
    const name = m.pop();
    m.pushName(m.pop(), name);
  },
  R: (m) => {
    const args = m.pop();
    m.apply(m.pop(), args);
  },
  '\x81': (m) => {
    const args = m.pop();
    m.apply(m.pop(), args);
  },
  o: (m) => {
    const [target, ...args] = m.popMarked();
    m.apply(target ?? null, args);
  },
  i: (m) => {
    const module = m.reader.line();
    const name = m.reader.line();
    const args = m.popMarked();
    m.pushName(module, name);
    m.apply(m.pop(), args);
  },
  b: (m) => m.build(m.pop()),
  P: (m) => m.pushPersistent(m.reader.line()),
  Q: (m) => m.pushPersistent(m.pop()),
  // protocol and framing
  '\x80': (m) => {
    const protocol = m.reader.uint8();
    if (protocol > 5) throw new RangeError(`unsupported protocol ${protocol}, expected 0 to 5`);
  },
  '\x95': (m) => void m.reader.uint64(),
});

function byCode(named: Readonly<Record<string, Operation>>): Record<number, Operation> {
  return Object.fromEntries(
    Object.entries(named).map(([name, operation]) => [name.charCodeAt(0), operation]),
  );
}
