import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { InputError } from '../core/errors.js';
import { type Folder, SingleFile } from '../core/folder.js';
import type { Closable, Model, OpenOptions } from '../core/model.js';
import { type Address, parseAddress } from '../hub/address.js';
import { nameOnHub } from '../hub/bare-names.js';
import { HubFolder, type HubOptions } from '../hub/folder.js';
import { openFolder } from '../models/folder/open.js';
import { findWeights } from '../models/folder/weight-names.js';
import { LocalFolder, openInside } from '../models/node/local.js';
import type { OpenBeside } from '../models/onnx/external.js';
import { isOnnxName, withExternalData } from '../models/onnx/with-data.js';
import { type FindBase, hasBase } from '../wpk/base.js';
import { WpkFolder } from '../wpk/folder.js';
import { isWpk } from '../wpk/frames.js';
import { Container } from '../wpk/reader.js';
import { baseFinder } from './base.js';
import { openSource, PREFIX_BYTES, type SourceOptions } from './formats.js';
import '../io/node/proxy.js';
import type { ByteSource } from '../core/byte-source.js';
import { HttpSource, openAddress } from '../io/http.js';
import { fileError, openFile } from '../io/node/file.js';

/** How a model is opened, and how it is read where it lies on the Hub. */
export interface OpenModelOptions extends OpenOptions, HubOptions {
  /** The base of a .wpk that has one. Default: what has its name beside the file, or in the Hub's cache. */
  readonly base?: string | Model | undefined;
}

/**
 * Opens a model: a folder or file on disk; or, where there is none of that name, a model or file of the Hub (`user/name`,
 * `user/name@revision`, `user/name/file.wpk`) or an address. Only headers are read, unless `reading` is `download`.
 * @throws {InputError} when there is nothing of that name that can be opened. @throws the signal's reason once it is aborted.
 */
export function openModel(name: string, options: OpenModelOptions = {}): Promise<Model> {
  return openNamed(name, options);
}

/** {@link OpenModelOptions}, or how the base of a .wpk is found. */
interface OpenNamedOptions extends OpenModelOptions, SourceOptions {}

async function openNamed(name: string, options: OpenNamedOptions): Promise<Model> {
  options.signal?.throwIfAborted();
  const address = await addressOf(name);
  if (!address) return openLocal(name, options);
  if (address.kind === 'url' || address.file !== undefined) {
    const { source, beside } = await openRemote(address, options);
    return openSource(source.name, source, withBase(options), beside);
  }
  const folder = await HubFolder.open(address, options);
  const only = await singleWpk(folder);
  if (only === undefined) return openFolder(folder, options);
  const source = await folder.open(only);
  return openSource(source.name, source, withBase(options));
}

/** Returns what opens the base of a .wpk. @param given the base; by default it is looked for. */
export function findBaseOf(given: string | Model | undefined, options: HubOptions = {}): FindBase {
  const { signal, onProgress } = options;
  return baseFinder(given, (name) =>
    openNamed(name, { reading: 'download', signal, onProgress, findBase: refuseFurther }),
  );
}

/** Refuses the base of a base. Otherwise a file that names itself would be opened again and again. */
const refuseFurther: FindBase = async ({ name }, file) => {
  throw hasBase(file, name);
};

const withBase = (options: OpenNamedOptions) => ({
  ...options,
  findBase: options.findBase ?? findBaseOf(options.base, options),
});

async function openLocal(path: string, options: OpenNamedOptions): Promise<Model> {
  const found = await stat(path).catch((error) => {
    throw fileError(error, path);
  });
  return found.isDirectory()
    ? openFolder(new LocalFolder(path), options)
    : openSource(path, await openFile(path), withBase(options), besideLocal(path));
}

/** Returns what opens files in the folder of a file on disk. */
const besideLocal =
  (path: string): OpenBeside =>
  (name) =>
    openInside(dirname(path), name);

/** How {@link openFiles} reads. */
interface FilesOptions extends HubOptions, Pick<OpenModelOptions, 'base'> {}

/** A folder whose files are compressed as they are, to be closed afterwards. */
export interface OpenedFiles extends Folder, Closable {}

/**
 * Opens the files that {@link openModel} would open, even if they are not a model.
 * @throws {InputError} when they do not exist.
 */
export async function openFiles(name: string, options: FilesOptions = {}): Promise<OpenedFiles> {
  const address = await addressOf(name);
  if (!address) return openLocalFiles(name, options);
  if (address.kind === 'url' || address.file !== undefined) {
    const { source, beside } = await openRemote(address, options);
    return oneFile(source, options, beside);
  }
  const folder = await HubFolder.open(address, options);
  const only = await singleWpk(folder);
  return only === undefined ? closable(folder, async () => {}) : oneFile(await folder.open(only), options);
}

async function openLocalFiles(path: string, options: FilesOptions): Promise<OpenedFiles> {
  const found = await stat(path).catch((error) => {
    throw fileError(error, path);
  });
  return found.isDirectory()
    ? closable(new LocalFolder(path), async () => {})
    : oneFile(await openFile(path), options, besideLocal(path));
}

/** Returns one file as a folder, an ONNX file with its external data, or for a .wpk the folder of the files that it restores. */
async function oneFile(source: ByteSource, options: FilesOptions, beside?: OpenBeside): Promise<OpenedFiles> {
  let close = () => source.close();
  try {
    const prefix = await source.read(0, Math.min(PREFIX_BYTES, source.byteLength));
    if (isWpk(prefix)) {
      const container = await Container.open(source, options.signal, findBaseOf(options.base, options));
      close = () => container.close();
      return closable(new WpkFolder(container), close);
    }
    const folder = isOnnxName(source.name)
      ? await withExternalData(source.name, source, beside)
      : new SingleFile(source.name, source);
    return closable(folder, close);
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
    [Symbol.asyncDispose]: close,
  };
}

/**
 * Opens one file on disk, at a URL or on the Hub.
 * @throws {InputError} when it does not exist.
 */
export async function openAnyFile(name: string, options: HubOptions = {}): Promise<ByteSource> {
  const address = await addressOf(name);
  return address ? (await openRemote(address, options)).source : openFile(name);
}

/**
 * Returns the remote address that a name refers to. Undefined for an existing path, and for a missing file in an existing folder, which
 * is more likely a typing error than a file on the Hub. @throws {InputError} for the old name of a model that was renamed on the Hub.
 */
export async function addressOf(name: string): Promise<Address | undefined> {
  const isLocal = (path: string) => stat(path).then(Boolean, () => false);
  if (await isLocal(name)) return;
  const renamed = nameOnHub(name);
  if (renamed !== undefined)
    throw new InputError(`no such file or folder; did you mean ${renamed} on the Hub?`, { file: name });
  const address = parseAddress(name);
  const isFile = address?.kind === 'hub' && address.file !== undefined;
  return isFile && (await isLocal(name.split('/')[0]!)) ? undefined : address;
}

interface Remote {
  readonly source: ByteSource;
  /** Opens files beside it; undefined at an address, whose folder cannot be listed. */
  readonly beside?: OpenBeside;
}

async function openRemote(address: Address, options: HubOptions): Promise<Remote> {
  if (address.kind === 'url')
    return { source: new HttpSource(await openAddress(address.url, options.signal)) };
  const folder = await HubFolder.open(address, options);
  const file = address.file ?? (await singleWpk(folder));
  if (file === undefined) throw await withoutOneWpk(folder, address.repository);
  const above = file.slice(0, file.lastIndexOf('/') + 1);
  const isThere = new Set((await folder.list()).map(({ name }) => name));
  return {
    source: await folder.open(file),
    beside: async (name) => (isThere.has(above + name) ? folder.open(above + name) : undefined),
  };
}

async function withoutOneWpk(folder: Folder, repository: string): Promise<InputError> {
  const found = (await folder.list()).map(({ name }) => name).filter((name) => name.endsWith('.wpk'));
  const what = found.length
    ? `several files of weights: specify a .wpk file, such as ${repository}/${found[0]}`
    : 'the repository has no .wpk file; use weightpress compress to create one';
  return new InputError(what, { file: repository });
}

/** Returns the .wpk of a folder that has no other weights, ONNX files apart: those are exports of the same model. */
async function singleWpk(folder: Folder): Promise<string | undefined> {
  const files = await folder.list();
  const [first, ...others] = files.filter(({ name }) => name.endsWith('.wpk'));
  const { kind = 'onnx' } = findWeights(files) ?? {};
  return kind === 'onnx' && others.length === 0 ? first?.name : undefined;
}
