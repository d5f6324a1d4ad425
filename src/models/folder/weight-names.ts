import { lastName } from '../../core/file-name.js';
import type { FolderFile } from '../../core/folder.js';

/** The weight files of a folder, or the index that lists them. */
export interface FoundWeights {
  readonly kind: 'safetensors' | 'pytorch' | 'gguf' | 'onnx';
  readonly names: readonly string[];
  /** Name of the index, which maps tensors to shards. */
  readonly index?: string;
}

type Find = (names: readonly string[]) => FoundWeights | undefined;

/** Ways to find the weights of a folder, in order: first those of transformers, then names that other libraries write. */
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
    /\.distcp$/, // beside the parts of a distributed checkpoint, such a file is not the model
    only(
      'pytorch',
      /^(?!(training_args|optimizer|scheduler|scaler|rng_state)|.*-\d{5}-of-\d{5}\.)[^/]+\.(bin|pt|pth|ckpt)$/,
    ),
  ),
  only('gguf', /\.gguf$/),
  single('onnx', 'model.onnx'),
  only('onnx', /\.onnx$/),
];

/** The folder that ONNX models are in on the Hub, beside config and tokenizer. */
const ONNX_FOLDER = 'onnx/';
const ONNX_FINDERS = [single('onnx', `${ONNX_FOLDER}model.onnx`), only('onnx', /\.onnx$/)];

/** Finds the weights of a folder among its files; those in subfolders do not count, except ONNX files in `onnx`. */
export function findWeights(files: readonly FolderFile[]): FoundWeights | undefined {
  const names = files.map(({ name }) => name);
  const own = names.filter((name) => !name.includes('/'));
  return (
    firstFound(FINDERS, own) ??
    firstFound(
      ONNX_FINDERS,
      names.filter((name) => name.startsWith(ONNX_FOLDER)),
    )
  );
}

function firstFound(finders: readonly Find[], names: readonly string[]): FoundWeights | undefined {
  for (const find of finders) {
    const found = find(names);
    if (found) return found;
  }
  return undefined;
}

/** Returns whether a file holds weights or training state, by its name. */
export function isWeightName(name: string): boolean {
  return WEIGHTS.test(lastName(name));
}

const WEIGHTS =
  /\.(safetensors|bin|pt|pth|ckpt|th|onnx|onnx_data.*|onnx\.data|ort|gguf|ggml|h5|hdf5|msgpack|wpk|npz|tflite|ot|pdparams|mlmodel|nemo|distcp)$/i;

type Kind = FoundWeights['kind'];

function single(kind: Kind, name: string): Find {
  return (names) => (names.includes(name) ? { kind, names: [name] } : undefined);
}

function indexed(kind: Kind, index: string): Find {
  return (names) => (names.includes(index) ? { kind, names: [], index } : undefined);
}

/** Finds the only file that matches a pattern; nothing if there are several. */
function only(kind: Kind, pattern: RegExp): Find {
  return (names) => {
    const found = names.filter((name) => pattern.test(name));
    return found.length === 1 ? { kind, names: found } : undefined;
  };
}

/** Finds nothing if a file matches `other`. */
function notBeside(other: RegExp, find: Find): Find {
  return (names) => (names.some((name) => other.test(name)) ? undefined : find(names));
}

/** Finds a complete set of shards without an index. */
function shards(kind: Kind, pattern: RegExp): Find {
  return (names) => {
    const found = names.filter((name) => pattern.test(name)).sort();
    const count = Number(pattern.exec(found[0] ?? '')?.[2]);
    return found.length === count ? { kind, names: found } : undefined;
  };
}
