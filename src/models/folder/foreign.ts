import { InputError } from '../../core/errors.js';
import { lastName } from '../../core/file-name.js';
import type { Folder, FolderFile } from '../../core/folder.js';
import { INDEX_NAME } from './shard-index.js';
import { findWeights, isWeightName } from './weight-names.js';

/** Returns what a folder is and what to do with it; undefined where it is something else. Names are paths in it. */
type Sign = (names: readonly string[], folder: Folder) => string | undefined;

const EXPECTED = `expected model.safetensors or ${INDEX_NAME} in the folder`;

/** What folders are in which no model was found, the surest sign first. */
const SIGNS: readonly Sign[] = [
  (names) => (names.length ? undefined : `has no files; ${EXPECTED}, found no weights`),
  distributed,
  deepSpeed,
  splitGguf,
  missingShards,
  severalFiles,
  severalModels,
];

/** Their names in a message. */
const MAX_NAMES = 4;

/** Refuses a folder in which no weights were found, saying what it is instead. @throws {InputError} */
export function refuseFolder(folder: Folder, files: readonly FolderFile[]): never {
  const names = files.map(({ name }) => name).sort();
  for (const sign of SIGNS) {
    const found = sign(names, folder);
    if (found) throw new InputError(found, { file: folder.id });
  }
  const others = names.filter(isWeightName);
  const seen = others.length ? `found only ${listed(others)}` : 'found no weights';
  throw new InputError(`${EXPECTED}, ${seen}`, { file: folder.id });
}

/** What `torch.distributed.checkpoint` writes: `.metadata` and a file of every process. */
function distributed(names: readonly string[], folder: Folder): string | undefined {
  const part = names.find((name) => name.endsWith('.distcp'));
  if (part === undefined) return undefined;
  const from = folderOf(folder, part);
  return `holds a distributed checkpoint of PyTorch (DCP), which is not read: python -m torch.distributed.checkpoint.format_utils dcp_to_torch ${from} model.pt makes one file of it; lossless compress takes the folder as it is`;
}

/** What DeepSpeed writes: `latest`, and a folder with the states of every process. */
function deepSpeed(names: readonly string[], folder: Folder): string | undefined {
  const part = names.find((name) => /^[\w-]*_(model|optim)_states\.pt$/.test(lastName(name)));
  if (part === undefined) return undefined;
  const above = part.split('/').slice(0, -2).join('/');
  const from = part.includes('/') ? (above ? folder.place(above) : folder.id) : folder.place('..');
  return `holds a checkpoint of DeepSpeed, its weights in parts, which is not read: python zero_to_fp32.py ${from} OUT makes a model of it; lossless compress takes the folder as it is`;
}

/** What `llama-gguf-split` writes. */
function splitGguf(names: readonly string[], folder: Folder): string | undefined {
  const first = names.find((name) => /-00001-of-\d{5}\.gguf$/.test(name));
  if (first === undefined) return undefined;
  const parts = Number(/of-(\d{5})\.gguf$/.exec(first)![1]);
  return `holds a GGUF in ${parts} parts: llama-gguf-split --merge ${folder.place(first)} model.gguf makes one file of them; lossless compress keeps all parts`;
}

/** Shards without all of the others. */
function missingShards(names: readonly string[]): string | undefined {
  const pattern = /^(.*)-(\d{5})-of-(\d{5})(\.\w+)$/;
  const found = names.map((name) => pattern.exec(name)).find((match) => match !== null);
  if (!found) return undefined;
  const [, stem, , total, extension] = found;
  const missing = Array.from(
    { length: Number(total) },
    (_, i) => `${stem}-${String(i + 1).padStart(5, '0')}-of-${total}${extension}`,
  ).filter((name) => !names.includes(name));
  return missing.length ? `lacks ${listed(missing)} of a model in ${Number(total)} shards` : undefined;
}

/** Files side by side of which each may be the model. */
function severalFiles(names: readonly string[], folder: Folder): string | undefined {
  const candidates = names.filter((name) => /^[^/]+\.(safetensors|gguf|bin|pt|pth|ckpt|wpk)$/.test(name));
  if (candidates.length < 2)
    return candidates[0]?.endsWith('.wpk')
      ? `holds a .wpk: name it, ${folder.place(candidates[0])}`
      : undefined;
  return `holds several files of weights, ${listed(candidates)}: name one, such as ${folder.place(candidates[0]!)}`;
}

/** Models in subfolders, as pipelines of diffusers have them. */
function severalModels(names: readonly string[], folder: Folder): string | undefined {
  const byFolder = new Map<string, FolderFile[]>();
  for (const name of names) {
    const at = name.lastIndexOf('/');
    if (at < 0) continue;
    const path = name.slice(0, at);
    byFolder.set(path, [...(byFolder.get(path) ?? []), { name: name.slice(at + 1), lengthBytes: 0 }]);
  }
  const models = [...byFolder].filter(([, files]) => findWeights(files));
  const [first] = models;
  if (!first) return undefined;
  const [path, files] = first;
  // of a repository single files can be named, not folders
  const name = folder.kind === 'hub' ? folder.place(`${path}/${fileIn(files)}`) : folder.place(path);
  return models.length === 1
    ? `has no weights of its own, its folder ${path} has: name ${name}`
    : `holds several models, ${listed(models.map(([path]) => path))}: name one, such as ${name}`;
}

function fileIn(files: readonly FolderFile[]): string {
  const { names, index } = findWeights(files)!;
  return names[0] ?? index!;
}

function folderOf(folder: Folder, name: string): string {
  const at = name.lastIndexOf('/');
  return at < 0 ? folder.id : folder.place(name.slice(0, at));
}

function listed(names: readonly string[]): string {
  const more = names.length > MAX_NAMES ? ` and ${names.length - MAX_NAMES} more` : '';
  return names.slice(0, MAX_NAMES).join(', ') + more;
}
