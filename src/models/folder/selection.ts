import picomatch from 'picomatch';
import { InputError } from '../../core/errors.js';
import { lastName, problemOfPath } from '../../core/file-name.js';
import { type Folder, type FolderFile, type LeftOut, type Listing, listAll } from '../../core/folder.js';

/** The files of a folder that are compressed, and those that are not. */
export interface Selection {
  /** Sorted by name. */
  readonly files: readonly FolderFile[];
  readonly emptyFolders: readonly string[];
  readonly leftOut: readonly LeftOut[];
}

export interface SelectOptions {
  /** For a repository on the Hub: whether to include copies of the weights in other formats. */
  readonly all?: boolean | undefined;
  /** Names of output files inside the folder. */
  readonly outputs?: readonly string[] | undefined;
}

/**
 * Selects the files of a folder to compress: all, except, on the Hub, copies of the weights in other formats.
 * @throws {InputError} naming an entry that cannot be compressed, unless it is excluded.
 */
export async function selectFiles(folder: Folder, options: SelectOptions = {}): Promise<Selection> {
  const { files, emptyFolders, leftOut, refused } = await listAll(folder);
  const [first] = [...refused, ...files.flatMap(badName)];
  if (first)
    throw new InputError(first.reason, { file: folder.place(first.name) }, { code: 'unsupported-file' });
  const copies = folder.kind === 'hub' && !options.all ? copiesOfWeights(files) : new Map<string, string>();
  const selected: FolderFile[] = [];
  const omitted = [...leftOut];
  for (const file of [...files].sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const reason = options.outputs?.includes(file.name) ? 'the output' : copies.get(file.name);
    if (reason === undefined) selected.push(file);
    else omitted.push({ ...file, reason });
  }
  return { files: selected, emptyFolders, leftOut: omitted };
}

function badName({ name }: FolderFile): LeftOut[] {
  const problem = problemOfPath(name);
  return problem === undefined ? [] : [{ name, reason: `its name ${problem}` }];
}

/** Returns a view of a folder that leaves out files matching patterns (`*.onnx`, `onnx/**`). A pattern without `/` applies in any subfolder. */
export function excluding(folder: Folder, patterns: readonly string[] = []): Folder {
  if (!patterns.length) return folder;
  const matchers = patterns.map((pattern) => ({
    pattern,
    matches: picomatch([pattern, `${pattern.replace(/\/$/, '')}/**`], { dot: true, basename: false }),
    whole: pattern.includes('/'),
  }));
  const reasonFor = (name: string): string | undefined => {
    const parts = name.split('/');
    const found = matchers.find(
      ({ matches, whole }) => matches(name) || (!whole && parts.some((part) => matches(part))),
    );
    return found && `excluded by ${found.pattern}`;
  };
  const listing = async (): Promise<Listing> => {
    const everything = await listAll(folder);
    const isTaken = ({ name }: { readonly name: string }) => reasonFor(name) === undefined;
    const excluded = [...everything.files, ...everything.refused]
      .filter((file) => !isTaken(file))
      .map(({ name, lengthBytes }) => ({ name, lengthBytes, reason: reasonFor(name)! }));
    return {
      files: everything.files.filter(isTaken),
      emptyFolders: everything.emptyFolders.filter((name) => isTaken({ name })),
      leftOut: [...everything.leftOut, ...excluded],
      refused: everything.refused.filter(isTaken),
    };
  };
  return {
    id: folder.id,
    kind: folder.kind,
    list: async () => (await listing()).files,
    listAll: listing,
    open: (name) => folder.open(name),
    place: (name) => folder.place(name),
  };
}

/** Formats of weights in repositories, the preferred one first. */
const FORMATS: readonly (readonly [format: string, names: RegExp])[] = [
  ['safetensors', /\.safetensors$/],
  ['PyTorch', /^(pytorch_model|model|adapter_model|diffusion_pytorch_model|consolidated)\b.*\.(bin|pt|pth)$/],
  ['GGUF', /\.gguf$/],
  ['ONNX', /\.(onnx|onnx_data.*|onnx\.data|ort)$/],
  ['TensorFlow', /\.(h5|tflite)$|^saved_model\.pb$/],
  ['Flax', /\.msgpack$/],
  ['OpenVINO, Core ML or Rust', /^openvino_.*\.(bin|xml)$|\.(mlmodel|mlpackage|ot)$|^weight\.bin$/],
];

/** Returns the files in other formats than the preferred one, and why each is left out. */
function copiesOfWeights(files: readonly FolderFile[]): Map<string, string> {
  const formatOf = (name: string) => FORMATS.findIndex(([, names]) => names.test(lastName(name)));
  const first = Math.min(...files.map(({ name }) => formatOf(name)).filter((format) => format >= 0));
  const further = files.filter(({ name }) => formatOf(name) > first);
  return new Map(
    further.map(({ name }) => [
      name,
      `copy of the weights for ${FORMATS[formatOf(name)]![0]}, beside ${FORMATS[first]![0]}`,
    ]),
  );
}
