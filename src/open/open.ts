import { stat } from 'node:fs/promises';
import { InputError } from '../core/errors.js';
import { type Folder, SingleFile } from '../core/folder.js';
import type { Model, OpenOptions } from '../core/model.js';
import { type Address, parseAddress } from '../hub/address.js';
import { nameOnHub } from '../hub/bare-names.js';
import { HubFolder, type HubOptions } from '../hub/folder.js';
import { openFolder } from '../models/folder/open.js';
import { findWeights } from '../models/folder/weight-names.js';
import { LocalFolder } from '../models/node/local.js';
import { WpkFolder } from '../wpk/folder.js';
import { isWpk } from '../wpk/frames.js';
import { Container } from '../wpk/reader.js';
import { openSource, PREFIX_BYTES } from './formats.js';
import '../io/node/proxy.js';
import type { ByteSource } from '../core/byte-source.js';
import { HttpSource, openAddress } from '../io/http.js';
import { fileError, openFile } from '../io/node/file.js';

/**
 * Opens a model: a folder or file on disk; or, where there is none of that name, a model or file of the Hub (`user/name`,
 * `user/name@revision`, `user/name/file.wpk`) or an address. Only headers are read.
 * @throws {InputError} with one line when it is nothing that can be opened.
 */
export async function openModel(name: string, options: HubOptions & OpenOptions = {}): Promise<Model> {
  const address = await addressOf(name);
  if (!address) return openLocal(name, options);
  if (address.kind === 'url' || address.file !== undefined) {
    const source = await openRemote(address, options);
    return openSource(source.name, source, options);
  }
  const folder = await HubFolder.open(address, options);
  const only = await singleWpk(folder);
  if (only === undefined) return openFolder(folder, options);
  const source = await folder.open(only);
  return openSource(source.name, source, options);
}

async function openLocal(path: string, options: OpenOptions): Promise<Model> {
  const found = await stat(path).catch((error) => {
    throw fileError(error, path);
  });
  return found.isDirectory()
    ? openFolder(new LocalFolder(path), options)
    : openSource(path, await openFile(path), options);
}

/** A folder whose files are compressed as they are, and what has to be closed afterwards. */
export interface OpenedFiles extends Folder {
  close(): Promise<void>;
}

/**
 * Opens the files that {@link openModel} would find a model in, whether there is one or not.
 * @throws {InputError}
 */
export async function openFiles(name: string, options: HubOptions = {}): Promise<OpenedFiles> {
  const address = await addressOf(name);
  if (!address) return openLocalFiles(name);
  if (address.kind === 'url' || address.file !== undefined)
    return oneFile(await openRemote(address, options));
  const folder = await HubFolder.open(address, options);
  const only = await singleWpk(folder);
  return only === undefined ? closable(folder, async () => {}) : oneFile(await folder.open(only));
}

async function openLocalFiles(path: string): Promise<OpenedFiles> {
  const found = await stat(path).catch((error) => {
    throw fileError(error, path);
  });
  return found.isDirectory()
    ? closable(new LocalFolder(path), async () => {})
    : oneFile(await openFile(path));
}

/** One file; of a .wpk the files that it restores. */
async function oneFile(source: ByteSource): Promise<OpenedFiles> {
  try {
    const prefix = await source.read(0, Math.min(PREFIX_BYTES, source.byteLength));
    const folder = isWpk(prefix)
      ? new WpkFolder(await Container.open(source))
      : new SingleFile(source.name, source);
    return closable(folder, () => source.close());
  } catch (error) {
    await source.close();
    throw error;
  }
}

function closable(folder: Folder, close: () => Promise<void>): OpenedFiles {
  const { id, kind } = folder;
  return {
    id,
    kind,
    list: () => folder.list(),
    ...(folder.listAll && { listAll: folder.listAll.bind(folder) }),
    open: (name) => folder.open(name),
    place: (name) => folder.place(name),
    close,
  };
}

/**
 * Opens one file by what {@link openModel} takes: on disk, at an address, of the Hub.
 * @throws {InputError}
 */
export async function openAnyFile(name: string, options: HubOptions = {}): Promise<ByteSource> {
  const address = await addressOf(name);
  return address ? openRemote(address, options) : openFile(name);
}

/**
 * Where a name that is no file here may lead; undefined for what is here, and for the name of a file in a folder that is here, which is
 * mistyped rather than the Hub's. @throws {InputError} for the old name of a model that has another on the Hub.
 */
export async function addressOf(name: string): Promise<Address | undefined> {
  const isHere = (path: string) => stat(path).then(Boolean, () => false);
  if (await isHere(name)) return;
  const meant = nameOnHub(name);
  if (meant !== undefined)
    throw new InputError(`no such file or folder; do you mean ${meant} on the Hub?`, { file: name });
  const address = parseAddress(name);
  const isFile = address?.kind === 'hub' && address.file !== undefined;
  return isFile && (await isHere(name.split('/')[0]!)) ? undefined : address;
}

async function openRemote(address: Address, options: HubOptions): Promise<ByteSource> {
  if (address.kind === 'url') return new HttpSource(await openAddress(address.url));
  const folder = await HubFolder.open(address, options);
  const file = address.file ?? (await singleWpk(folder));
  if (file === undefined) throw await withoutOneWpk(folder, address.repository);
  return folder.open(file);
}

async function withoutOneWpk(folder: Folder, repository: string): Promise<InputError> {
  const found = (await folder.list()).map(({ name }) => name).filter((name) => name.endsWith('.wpk'));
  const what = found.length
    ? `holds .wpk files among others: name one, such as ${repository}/${found[0]}`
    : 'is a repository without a .wpk file; weightpress analyze says what it holds, weightpress compress makes a .wpk of it';
  return new InputError(what, { file: repository });
}

/** The .wpk of a folder that holds no other weights. */
async function singleWpk(folder: Folder): Promise<string | undefined> {
  const files = await folder.list();
  const [first, ...others] = files.filter(({ name }) => name.endsWith('.wpk'));
  return findWeights(files) === undefined && others.length === 0 ? first?.name : undefined;
}
