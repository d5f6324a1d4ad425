import picomatch from 'picomatch';
import { InputError } from '../../core/errors.js';
import { lastName, problemOfPath } from '../../core/file-name.js';
import { type Folder, type FolderFile, type LeftOut, type Listing, listAll } from '../../core/folder.js';

/** What is taken of a folder, and what is not, by name. */
export interface Selection {
  /** Sorted by name. */
  readonly files: readonly FolderFile[];
  readonly emptyFolders: readonly string[];
  readonly leftOut: readonly LeftOut[];
}

export interface SelectOptions {
  /** Of a repository on the Hub: also further copies of the same weights in other formats. */
  readonly all?: boolean | undefined;
  /** Names of files that are being written into the folder itself. */
  readonly outputs?: readonly string[] | undefined;
}

/**
 * Chooses the files of a folder that are compressed: all of them; of a repository on the Hub not the further copies of its weights.
 * @throws {InputError} naming what is in the folder and cannot be taken along, unless it is excluded.
 */
export async function selectFiles(folder: Folder, options: SelectOptions = {}): Promise<Selection> {
  const { files, emptyFolders, leftOut, refused } = await listAll(folder);
  const [first] = [...refused, ...files.flatMap(badName)];
  if (first)
    throw new InputError(`${first.reason}; --exclude leaves it out`, { file: folder.place(first.name) });
  const copies = folder.kind === 'hub' && !options.all ? furtherCopies(files) : new Map<string, string>();
  const taken: FolderFile[] = [];
  const left = [...leftOut];
  for (const file of [...files].sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const reason = options.outputs?.includes(file.name) ? 'the output' : copies.get(file.name);
    if (reason === undefined) taken.push(file);
    else left.push({ ...file, reason });
  }
  return { files: taken, emptyFolders, leftOut: left };
}

function badName({ name }: FolderFile): LeftOut[] {
  const problem = problemOfPath(name);
  return problem === undefined ? [] : [{ name, reason: `its name ${problem}` }];
}

/** A folder without the files that match patterns (`*.onnx`, `onnx/**`), which count as left out. A pattern without `/` is of names in any folder. */
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

/** Formats in which repositories hold the same weights, the one that is taken first. */
const FORMATS: readonly (readonly [format: string, names: RegExp])[] = [
  ['safetensors', /\.safetensors$/],
  ['PyTorch', /^(pytorch_model|model|adapter_model|diffusion_pytorch_model|consolidated)\b.*\.(bin|pt|pth)$/],
  ['GGUF', /\.gguf$/],
  ['ONNX', /\.(onnx|onnx_data.*|ort)$/],
  ['TensorFlow', /\.(h5|tflite)$|^saved_model\.pb$/],
  ['Flax', /\.msgpack$/],
  ['OpenVINO, Core ML or Rust', /^openvino_.*\.(bin|xml)$|\.(mlmodel|mlpackage|ot)$|^weight\.bin$/],
];

/** By name, why it is left out: files of formats behind the first one that the repository has. */
function furtherCopies(files: readonly FolderFile[]): Map<string, string> {
  const formatOf = (name: string) => FORMATS.findIndex(([, names]) => names.test(lastName(name)));
  const first = Math.min(...files.map(({ name }) => formatOf(name)).filter((format) => format >= 0));
  const further = files.filter(({ name }) => formatOf(name) > first);
  return new Map(
    further.map(({ name }) => [
      name,
      `a copy of the weights for ${FORMATS[formatOf(name)]![0]}, beside ${FORMATS[first]![0]}; --all takes it`,
    ]),
  );
}
