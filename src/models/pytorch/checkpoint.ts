import type { ByteSource } from '../../core/byte-source.js';
import { InputError } from '../../core/errors.js';
import { POINTER_PREFIX_BYTES, refusePointer } from '../../core/lfs-pointer.js';
import { readPickle } from '../pickle/machine.js';
import type { Allowed, PickleValue } from '../pickle/values.js';
import type { WeightSource } from '../stored-model.js';
import { virtualSafetensors } from '../virtual.js';
import { chooseState } from './states.js';
import { type Storage, storageOf } from './storages.js';
import { TORCH } from './tensors.js';
import { viewTensor } from './views.js';
import { entryStart, isZip, readEntry, readZip } from './zip.js';

/** Maximum size of a checkpoint's pickle, which holds names and shapes but no weights. */
const MAX_PICKLE_BYTES = 2 ** 26;

/** The magic number of old files, whose pickle they begin with. */
const MAGIC = 0x1950a86a20f9469cfc6cn;
const LEGACY_PREFIX = [0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
const LEGACY_PROTOCOL = 1001;

/** Returns whether the first bytes of a file are those of a PyTorch checkpoint, in the current or the old format. */
export function isCheckpoint(prefix: Uint8Array): boolean {
  return isZip(prefix) || LEGACY_PREFIX.every((byte, i) => prefix[i] === byte);
}

/**
 * Opens a state of a PyTorch checkpoint as a safetensors file called `name`. Only names and shapes are read.
 * @param state which of several states; see {@link chooseState}.
 * @throws {InputError} when its pickle uses other names than those of tensors, or sizes do not match, after closing the source.
 */
export async function openCheckpoint(
  name: string,
  source: ByteSource,
  state?: string,
): Promise<WeightSource & { readonly state: string }> {
  try {
    const { value, startOf } = await readCheckpoint(source, TORCH);
    const chosen = chooseState(value, state, source.name);
    const views = [...chosen.tensors].map(([own, tensor]) =>
      viewTensor(own, tensor, source, () => startOf(tensor.storage)),
    );
    return { ...virtualSafetensors(name, source, views), state: chosen.path };
  } catch (error) {
    await source.close();
    throw error;
  }
}

/** The value of a checkpoint's pickle, and the storages of its tensors. */
export interface Checkpoint {
  readonly value: PickleValue;
  readonly storages: ReadonlyMap<string, Storage>;
  /** Returns the offset of a storage in the file. @throws {InputError} */
  readonly startOf: (storage: Storage) => Promise<number>;
}

/** Reads a checkpoint without its storages. @param allowed names that its pickle may use. @throws {InputError} */
export async function readCheckpoint(source: ByteSource, allowed: Allowed): Promise<Checkpoint> {
  const prefix = await source.read(0, Math.min(POINTER_PREFIX_BYTES, source.byteLength));
  refusePointer(prefix, source.name);
  return isZip(prefix) ? readZipped(source, allowed) : readLegacy(source, allowed);
}

/** Reads the format since PyTorch 1.6: a zip archive with a pickle and an entry per storage. */
async function readZipped(source: ByteSource, allowed: Allowed): Promise<Checkpoint> {
  const file = source.name;
  const entries = await readZip(source);
  const pickles = [...entries.keys()].filter((name) => /(^|\/)data\.pkl$/.test(name));
  const [name] = pickles;
  if (pickles.length !== 1 || name === undefined)
    throw new InputError(`expected one data.pkl in the archive, found ${pickles.length}`, { file });
  const folder = name.slice(0, -'data.pkl'.length);
  const order = entries.get(`${folder}byteorder`);
  if (order && new TextDecoder().decode(await readEntry(source, order, 16)) !== 'little')
    throw new InputError('unsupported byte order: expected little-endian storages', { file });
  const bytes = await readEntry(source, entries.get(name)!, MAX_PICKLE_BYTES);
  const starts = new Map<string, Promise<number>>();
  const storages = new Map<string, Storage>();
  const persistent = (id: PickleValue) => {
    const storage = storageOf(id);
    const entry = entries.get(`${folder}data/${storage.key}`);
    if (!entry)
      throw new RangeError(`storage ${JSON.stringify(storage.key.slice(0, 100))} is not in the archive`);
    if (entry.deflated || entry.lengthBytes < storage.lengthBytes)
      throw new RangeError(
        `storage ${storage.key} of ${storage.lengthBytes} bytes in an entry of ${entry.lengthBytes}${entry.deflated ? ', deflated' : ''}`,
      );
    const known = storages.get(storage.key);
    if (known && known.lengthBytes >= storage.lengthBytes) return known.type ? known : storage;
    storages.set(storage.key, storage);
    return storage;
  };
  const { value } = readPickle(bytes, { allowed, file: `${file} (${name})`, persistent });
  const startOf = ({ key }: Storage) => {
    const found = starts.get(key) ?? entryStart(source, entries.get(`${folder}data/${key}`)!);
    starts.set(key, found);
    return found;
  };
  return { value, storages, startOf };
}

/** Reads the older format: five pickles, then the storages, each after its number of elements. */
async function readLegacy(source: ByteSource, allowed: Allowed): Promise<Checkpoint> {
  const file = source.name;
  const bytes = await source.read(0, Math.min(source.byteLength, MAX_PICKLE_BYTES));
  const storages = new Map<string, Storage>();
  const persistent = (id: PickleValue) => {
    const storage = storageOf(id);
    const known = storages.get(storage.key);
    if (known && known.lengthBytes !== storage.lengthBytes)
      throw new RangeError(`storage ${storage.key} has two sizes`);
    storages.set(storage.key, known ?? storage);
    return known ?? storage;
  };
  let next = 0;
  const read = () => {
    const { value, end } = readPickle(bytes, { allowed, file, start: next, persistent });
    next = end;
    return value;
  };
  const [magic, protocol] = [read(), read()];
  if (magic !== MAGIC || protocol !== LEGACY_PROTOCOL)
    throw new InputError('not a PyTorch checkpoint (bad magic number)', { file });
  read(); // sizes of integers on the machine that wrote it
  const value = read();
  const keys = read();
  if (!Array.isArray(keys)) throw new InputError('the list of storages is missing', { file, start: next });
  const starts = new Map<string, number>();
  for (const key of keys) {
    const storage = typeof key === 'string' ? storages.get(key) : undefined;
    if (!storage) throw new InputError('a listed storage belongs to no tensor', { file, start: next });
    const field = await source.read(next, next + COUNT_BYTES);
    const count = Number(new DataView(field.buffer, field.byteOffset).getBigUint64(0, true));
    const end = next + COUNT_BYTES + storage.lengthBytes;
    if (count !== storage.count || end > source.byteLength)
      throw new InputError(
        `storage ${storage.key}: expected ${storage.count} elements in a file of ${source.byteLength} bytes, found ${count} up to byte ${end}`,
        { file },
      );
    starts.set(storage.key, next + COUNT_BYTES);
    next = end;
  }
  const startOf = async ({ key }: Storage) => {
    const start = starts.get(key);
    if (start === undefined)
      throw new InputError(`storage ${JSON.stringify(key)} is not in the file`, { file });
    return start;
  };
  return { value, storages, startOf };
}

const COUNT_BYTES = 8;
