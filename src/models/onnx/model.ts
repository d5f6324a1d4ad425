import type { ByteSource } from '../../core/byte-source.js';
import { InputError } from '../../core/errors.js';
import { lastName } from '../../core/file-name.js';
import type { Folder, FolderFile } from '../../core/folder.js';
import { FileBackedModel, type FileBackedParts, type StoredModel } from '../stored-model.js';
import { virtualSafetensors } from '../virtual.js';
import { OnnxElements, shortened } from './elements.js';
import { externalName, locationsOf, type OpenBeside } from './external.js';
import { readOnnx } from './header.js';
import type { OnnxTensor } from './tensor.js';
import { folderOf, NOT_FETCHED } from './with-data.js';

/** How {@link openOnnx} opens. */
export interface OpenOnnxOptions {
  /** The ONNX file's path in its folder; by default its last name. */
  readonly name?: string;
  /** Opens its external data; without it a file that has some is refused. */
  readonly beside?: OpenBeside | undefined;
  /** The folder that it was opened from; by default one of this file and its external data. */
  readonly files?: Folder;
  /** What is known from the files of the folder. */
  readonly about?: Pick<FileBackedParts, 'config' | 'configError' | 'sideFiles' | 'leftOut'>;
}

/** Why an ONNX model is not run. */
const NOT_RUN =
  'is an ONNX model: its tensors are read, but its graph is not run (expected safetensors, PyTorch or GGUF)';

/**
 * Opens an ONNX file as a model whose tensors are its initializers and constants. It cannot be run. The result owns the source.
 * @throws {InputError} for a malformed file, and for external data that is missing, too short, or outside of the file's folder.
 */
export async function openOnnx(
  id: string,
  source: ByteSource,
  { name = lastName(id), beside, files, about = { config: undefined, sideFiles: [] } }: OpenOnnxOptions = {},
): Promise<StoredModel> {
  const opened = [source];
  try {
    const { tensors } = await readOnnx(source);
    const outside = new Map<string, ByteSource>();
    for (const location of locationsOf(tensors)) {
      const other = await openExternal(source, name, location, beside);
      opened.push(other);
      outside.set(location, other);
    }
    const elements = new OnnxElements(source, outside);
    const weights = virtualSafetensors(
      `${name.replace(/\.[^.]+$/, '')}.safetensors`,
      together(opened),
      tensors.filter(isNumeric).map((tensor) => elements.open(tensor)),
    );
    const data = dataFiles(name, outside);
    const isData = new Set(data.map((file) => file.name));
    return new FileBackedModel({
      id,
      kind: 'onnx',
      notRun: NOT_RUN,
      ...about,
      sideFiles: about.sideFiles.filter((file) => !isData.has(file.name)),
      leftOut: about.leftOut?.filter((file) => !isData.has(file.name)),
      weightSources: [weights],
      files: files ?? folderOf(id, source, data, beside),
    });
  } catch (error) {
    await Promise.all(opened.map((each) => each.close()));
    throw error;
  }
}

/** Returns the files that hold external data. */
function dataFiles(name: string, outside: ReadonlyMap<string, ByteSource>): FolderFile[] {
  const lengths = [...outside].map(
    ([location, { byteLength }]) => [externalName(name, location)!, byteLength] as const,
  );
  return [...new Map(lengths)].map(([file, lengthBytes]) => ({ name: file, lengthBytes }));
}

/** Returns false for texts, and types that are not known. */
const isNumeric = ({ type }: OnnxTensor) => type !== 'STRING' && !type.startsWith('type ');

async function openExternal(
  source: ByteSource,
  name: string,
  location: string,
  beside: OpenBeside | undefined,
): Promise<ByteSource> {
  const place = { file: source.name };
  const file = externalName(name, location);
  if (file === undefined)
    throw new InputError(
      `its external data is outside of its folder, which is not read: ${JSON.stringify(shortened(location))}`,
      place,
    );
  const other = await beside?.(file);
  if (!other)
    throw new InputError(
      `its external data ${shortened(file)} ${beside ? 'is missing' : `is in another file, ${NOT_FETCHED}`}`,
      place,
    );
  return other;
}

/** Returns several files as one, to be checked and closed together. */
function together(sources: readonly ByteSource[]): ByteSource {
  const [first] = sources as [ByteSource];
  return {
    name: first.name,
    byteLength: sources.reduce((sum, { byteLength }) => sum + byteLength, 0),
    read: first.read.bind(first),
    verify: async (signal) => {
      for (const source of sources) await source.verify?.(signal);
    },
    close: async () => {
      await Promise.all(sources.map((source) => source.close()));
    },
  };
}
