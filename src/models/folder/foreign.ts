import { InputError } from '../../core/errors.js';
import { lastName } from '../../core/file-name.js';
import type { Folder, FolderFile } from '../../core/folder.js';
import { INDEX_NAME } from './shard-index.js';
import { findWeights, isWeightName } from './weight-names.js';

/** Recognizes a kind of folder and returns what it is and what to do with it; else undefined. Names are paths in the folder. */
type Diagnosis = (names: readonly string[], folder: Folder) => string | undefined;

const EXPECTED = `expected model.safetensors or ${INDEX_NAME} in the folder`;

/** Kinds of folders in which no model was found, the most certain first. */
const DIAGNOSES: readonly Diagnosis[] = [
  (names) => (names.length ? undefined : `has no files; ${EXPECTED}, found no weights`),
  distributed,
  deepSpeed,
  splitGguf,
  missingShards,
  severalFiles,
  severalModels,
];

/** Names listed in a message. */
const MAX_NAMES = 4;

/** Throws an error that explains why a folder is not a model. @throws {InputError} always */
export function refuseFolder(folder: Folder, files: readonly FolderFile[]): never {
  const names = files.map(({ name }) => name).sort();
  for (const diagnose of DIAGNOSES) {
    const message = diagnose(names, folder);
    if (message) throw new InputError(message, { file: folder.id });
  }
  const others = names.filter(isWeightName);
  const seen = others.length ? `found only ${listed(others)}` : 'found no weights';
  throw new InputError(`${EXPECTED}, ${seen}`, { file: folder.id });
}

/** Recognizes a folder of `torch.distributed.checkpoint`: `.metadata` and a file per process. */
function distributed(names: readonly string[], folder: Folder): string | undefined {
  const part = names.find((name) => name.endsWith('.distcp'));
  if (part === undefined) return undefined;
  const from = folderOf(folder, part);
  return `unsupported PyTorch distributed checkpoint (DCP): convert it with python -m torch.distributed.checkpoint.format_utils dcp_to_torch ${from} model.pt; lossless compress accepts the folder as it is`;
}

/** Recognizes a checkpoint of DeepSpeed: `latest`, and a folder with the states of every process. */
function deepSpeed(names: readonly string[], folder: Folder): string | undefined {
  const part = names.find((name) => /^[\w-]*_(model|optim)_states\.pt$/.test(lastName(name)));
  if (part === undefined) return undefined;
  const above = part.split('/').slice(0, -2).join('/');
  const from = part.includes('/') ? (above ? folder.place(above) : folder.id) : folder.place('..');
  return `unsupported DeepSpeed checkpoint: convert it with python zero_to_fp32.py ${from} OUT; lossless compress accepts the folder as it is`;
}

/** Recognizes a model split by `llama-gguf-split`. */
function splitGguf(names: readonly string[], folder: Folder): string | undefined {
  const first = names.find((name) => /-00001-of-\d{5}\.gguf$/.test(name));
  if (first === undefined) return undefined;
  const parts = Number(/of-(\d{5})\.gguf$/.exec(first)![1]);
  return `unsupported split GGUF in ${parts} parts: merge it with llama-gguf-split --merge ${folder.place(first)} model.gguf; lossless compress accepts all parts`;
}

/** Recognizes an incomplete set of shards. */
function missingShards(names: readonly string[]): string | undefined {
  const pattern = /^(.*)-(\d{5})-of-(\d{5})(\.\w+)$/;
  const found = names.map((name) => pattern.exec(name)).find((match) => match !== null);
  if (!found) return undefined;
  const [, stem, , total, extension] = found;
  const missing = Array.from(
    { length: Number(total) },
    (_, i) => `${stem}-${String(i + 1).padStart(5, '0')}-of-${total}${extension}`,
  ).filter((name) => !names.includes(name));
  return missing.length ? `missing ${listed(missing)} of a model in ${Number(total)} shards` : undefined;
}

/** A file that may be the model: in the folder itself, or ONNX in its place on the Hub. */
const CANDIDATE = /^[^/]+\.(safetensors|gguf|bin|pt|pth|ckpt|onnx|wpk)$|^onnx\/[^/]+\.onnx$/;

/** Recognizes several files of which each may be the model. */
function severalFiles(names: readonly string[], folder: Folder): string | undefined {
  const candidates = names.filter((name) => CANDIDATE.test(name));
  if (candidates.length < 2)
    return candidates[0]?.endsWith('.wpk')
      ? `expected a model, found a .wpk file: use ${folder.place(candidates[0])}`
      : undefined;
  return `several files of weights, ${listed(candidates)}: specify one, such as ${folder.place(candidates[0]!)}`;
}

/** Recognizes models in subfolders, as in pipelines of diffusers. */
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
  // on the Hub, a file can be specified but not a folder
  const name = folder.kind === 'hub' ? folder.place(`${path}/${fileIn(files)}`) : folder.place(path);
  return models.length === 1
    ? `no weights here, but in the folder ${path}: use ${name}`
    : `several models, ${listed(models.map(([path]) => path))}: specify one, such as ${name}`;
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
