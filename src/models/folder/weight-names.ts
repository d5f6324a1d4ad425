import { lastName } from '../../core/file-name.js';
import type { FolderFile } from '../../core/folder.js';

/** The files that are a folder's model, or the index that names them. */
export interface FoundWeights {
  readonly kind: 'safetensors' | 'pytorch' | 'gguf';
  readonly names: readonly string[];
  /** Says which shard holds which tensor. */
  readonly index?: string;
}

type Find = (names: readonly string[]) => FoundWeights | undefined;

/** What the weights of a folder are looked for as, in this order: as transformers does, then what other libraries write. */
const FINDERS: readonly Find[] = [
  single('safetensors', 'model.safetensors'),
  indexed('safetensors', 'model.safetensors.index.json'),
  shards('safetensors', /^model-(\d{5})-of-(\d{5})\.safetensors$/),
  single('pytorch', 'pytorch_model.bin'),
  indexed('pytorch', 'pytorch_model.bin.index.json'),
  shards('pytorch', /^pytorch_model-(\d{5})-of-(\d{5})\.bin$/),
  only('safetensors', /^model\.[\w-]+\.safetensors$/), // model.fp16.safetensors
  single('safetensors', 'consolidated.safetensors'), // Mistral's own
  only('safetensors', /^(adapter_model|diffusion_pytorch_model)(\.[\w-]+)?\.safetensors$/),
  shards('safetensors', /^[\w.-]+-(\d{5})-of-(\d{5})\.safetensors$/),
  only('safetensors', /^(?!.*-\d{5}-of-\d{5}\.).*\.safetensors$/),
  notBeside(
    /\.distcp$/, // what is common to the parts of a distributed checkpoint is not the model
    only(
      'pytorch',
      /^(?!(training_args|optimizer|scheduler|scaler|rng_state)|.*-\d{5}-of-\d{5}\.)[^/]+\.(bin|pt|pth|ckpt)$/,
    ),
  ),
  only('gguf', /\.gguf$/),
];

/** Finds the weights of a folder among its files; those in subfolders are not its model. */
export function findWeights(files: readonly FolderFile[]): FoundWeights | undefined {
  const names = files.map(({ name }) => name).filter((name) => !name.includes('/'));
  for (const find of FINDERS) {
    const found = find(names);
    if (found) return found;
  }
  return undefined;
}

/** True for names of files that hold weights, of a model or of its training, in whatever format. */
export function isWeightName(name: string): boolean {
  return WEIGHTS.test(lastName(name));
}

const WEIGHTS =
  /\.(safetensors|bin|pt|pth|ckpt|th|onnx|onnx_data.*|ort|gguf|ggml|h5|hdf5|msgpack|wpk|npz|tflite|ot|pdparams|mlmodel|nemo|distcp)$/i;

type Kind = FoundWeights['kind'];

function single(kind: Kind, name: string): Find {
  return (names) => (names.includes(name) ? { kind, names: [name] } : undefined);
}

function indexed(kind: Kind, index: string): Find {
  return (names) => (names.includes(index) ? { kind, names: [], index } : undefined);
}

/** One file of this name, not one of several. */
function only(kind: Kind, pattern: RegExp): Find {
  return (names) => {
    const found = names.filter((name) => pattern.test(name));
    return found.length === 1 ? { kind, names: found } : undefined;
  };
}

/** Finds nothing where a file of another pattern is. */
function notBeside(other: RegExp, find: Find): Find {
  return (names) => (names.some((name) => other.test(name)) ? undefined : find(names));
}

/** A complete set of shards that no index lists. */
function shards(kind: Kind, pattern: RegExp): Find {
  return (names) => {
    const found = names.filter((name) => pattern.test(name)).sort();
    const count = Number(pattern.exec(found[0] ?? '')?.[2]);
    return found.length === count ? { kind, names: found } : undefined;
  };
}
