import { InputError, isInputError } from '../../core/errors.js';
import type { Folder, FolderFile, LeftOut } from '../../core/folder.js';
import { shortened } from '../../models/onnx/elements.js';
import { externalName, locationsOf } from '../../models/onnx/external.js';
import { type OnnxHeader, readOnnx } from '../../models/onnx/header.js';
import type { OnnxTensor } from '../../models/onnx/tensor.js';
import { isOnnxName, MAX_NOTED } from '../../models/onnx/with-data.js';
import { MAX_TENSORS } from '../directory.js';

/** The ONNX files of a folder, and the files beside them that hold their tensors. */
export interface OnnxFiles {
  /** Headers of those that can be read, by name. */
  readonly headers: ReadonlyMap<string, OnnxHeader>;
  /** Why the others cannot be read, by name. */
  readonly errors: ReadonlyMap<string, InputError>;
  /** By the name of another file, the tensors in it, and the ONNX files that they belong to. */
  readonly external: ReadonlyMap<string, ExternalFile>;
  /** External data that is not in the folder, and why. It is never opened. */
  readonly leftOut: readonly LeftOut[];
}

/** A file with tensors of ONNX files. */
export interface ExternalFile {
  readonly tensors: readonly OnnxTensor[];
  readonly owners: readonly string[];
}

/**
 * Reads the headers of a folder's ONNX files. One that cannot be read has none.
 * @param files the files of the folder that are stored. @param leftOut those that are not. @throws {InputError} when a file cannot be opened.
 */
export async function readOnnxFiles(
  folder: Folder,
  files: readonly FolderFile[],
  leftOut: readonly LeftOut[],
): Promise<OnnxFiles> {
  const headers = new Map<string, OnnxHeader>();
  const errors = new Map<string, InputError>();
  const external = new Map<string, { tensors: OnnxTensor[]; owners: string[] }>();
  const missing: LeftOut[] = [];
  let room = MAX_TENSORS; // headers are held together
  const stored = new Set(files.map(({ name }) => name));
  const known = new Set(leftOut.map(({ name }) => name));
  for (const { name } of files.filter((file) => isOnnxName(file.name))) {
    const header = await headerOf(folder, name);
    room -= isInputError(header) ? 0 : header.tensors.length;
    if (room < 0) {
      errors.set(name, new InputError(`tensors of ONNX files over the limit of ${MAX_TENSORS} in all`));
      break; // further files are read when it is their turn, without external data
    }
    if (isInputError(header)) {
      errors.set(name, header);
      continue;
    }
    headers.set(name, header);
    const absent: LeftOut[] = [];
    for (const location of locationsOf(header.tensors)) {
      const file = externalName(name, location);
      if (file === undefined || !stored.has(file)) {
        if (file === undefined || !known.has(file)) absent.push(absentFile(name, location, file));
        continue;
      }
      const found = external.get(file) ?? { tensors: [], owners: [] };
      found.owners.push(name);
      external.set(file, found);
    }
    for (const tensor of header.tensors) {
      const file = tensor.external && externalName(name, tensor.external.location);
      if (file !== undefined) external.get(file)?.tensors.push(tensor);
    }
    missing.push(...summarized(absent, name));
  }
  return { headers, errors, external, leftOut: missing };
}

async function headerOf(folder: Folder, name: string): Promise<OnnxHeader | InputError> {
  const source = await folder.open(name);
  try {
    return await readOnnx(source);
  } catch (error) {
    if (isInputError(error)) return error; // stored as bytes, with a note that says why
    throw error;
  } finally {
    await source.close();
  }
}

function absentFile(owner: string, location: string, file: string | undefined): LeftOut {
  const what = `external data of ${owner}`;
  return file === undefined
    ? { name: shortened(location) || 'a file without a name', reason: `${what}, outside of its folder` }
    : { name: file, reason: `${what}, which is missing` };
}

function summarized(absent: readonly LeftOut[], owner: string): LeftOut[] {
  const more = absent.length - MAX_NOTED;
  if (more <= 0) return [...absent];
  return [
    ...absent.slice(0, MAX_NOTED),
    { name: `${more} more files`, reason: `external data of ${owner}, missing or outside of its folder` },
  ];
}
