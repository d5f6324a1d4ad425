import type { ByteSource } from '../../core/byte-source.js';
import { problemOfPath } from '../../core/file-name.js';
import type { OnnxTensor } from './tensor.js';

/** Opens a file beside an ONNX file, by its path in their folder. Returns undefined where there is none. @throws {InputError} */
export type OpenBeside = (name: string) => Promise<ByteSource | undefined>;

/**
 * Returns the file that a location refers to, as a path in the folder of the ONNX file.
 * @param name of the ONNX file in the folder, its parts separated by `/`. @param location relative to it.
 * @returns undefined for a location outside of the ONNX file's own folder, and for what is no path.
 */
export function externalName(name: string, location: string): string | undefined {
  const folder = name.slice(0, name.lastIndexOf('/') + 1);
  const path = folder + location.replace(/^(\.\/)+/, '');
  return location !== '' && problemOfPath(path) === undefined ? path : undefined;
}

/** Returns the locations of a file's external data, each once. */
export function locationsOf(tensors: readonly OnnxTensor[]): string[] {
  return [...new Set(tensors.flatMap(({ external }) => (external ? [external.location] : [])))];
}
