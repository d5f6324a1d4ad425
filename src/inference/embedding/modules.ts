import {
  type EmbeddingPlan,
  type EmbeddingStep,
  POOLING_MODES,
  type PoolingMode,
} from '../../architectures/pooling.js';
import { InputError } from '../../core/errors.js';
import { isPlainObject, quote } from '../../core/json.js';
import type { Model } from '../../core/model.js';
import { type ModuleTensor, placeOf, readAnyJson, readModuleWeights, readObject } from './module-files.js';

/** What sentence-transformers' files say about what follows the hidden states. */
export interface EmbeddingModules extends EmbeddingPlan {
  /** The tensors of dense layers, by the names of the graph's inputs. */
  readonly weights: ReadonlyMap<string, ModuleTensor>;
  /** Whether there is no modules.json, so that sentence-transformers' own default is used: the mean of all tokens. */
  readonly isDefault: boolean;
}

export const MODULES_FILE = 'modules.json';

/**
 * Reads the modules of an embedding model. @param hiddenSize features of a hidden state.
 * @throws {InputError} naming the file, for one that is missing or malformed, and for modules and settings that are not known.
 */
export async function readModules(model: Model, hiddenSize: number): Promise<EmbeddingModules> {
  const list = await readAnyJson(model, MODULES_FILE);
  if (list === undefined)
    return { modes: ['mean'], includePrompt: true, steps: [], weights: new Map(), isDefault: true };
  const modules = listOf(model, list);
  const [transformer, pooling, ...rest] = modules;
  if (transformer?.kind !== 'Transformer' || pooling?.kind !== 'Pooling')
    throw new InputError(
      `expected a Transformer and a Pooling first, found ${quote(modules.map(({ kind }) => kind))}`,
      placeOf(model, MODULES_FILE),
    );
  if (transformer.path !== '')
    throw new InputError(
      `unsupported place of the Transformer: ${quote(transformer.path)}, expected the folder itself`,
      placeOf(model, MODULES_FILE),
    );
  const pooled = await readPooling(model, pooling.path, hiddenSize);
  const weights = new Map<string, ModuleTensor>();
  const steps: EmbeddingStep[] = [];
  let size = pooled.modes.length * hiddenSize;
  for (const { kind, path } of rest) {
    const read = READERS[kind];
    if (!read) throw unknownModule(model, kind);
    const step = await read(model, path, size, weights);
    if (step?.kind === 'dense') size = step.outputs;
    if (step) steps.push(step);
  }
  return { ...pooled, steps, weights, isDefault: false };
}

interface Module {
  /** The last part of its type: `Pooling`. */
  readonly kind: string;
  readonly path: string;
}

function listOf(model: Model, list: unknown): Module[] {
  const place = placeOf(model, MODULES_FILE);
  if (!Array.isArray(list) || !list.length)
    throw new InputError(`expected a list of modules, found ${quote(list)}`, place);
  return list.map((entry): Module => {
    const { type, path } = isPlainObject(entry) ? entry : {};
    if (typeof type !== 'string' || typeof path !== 'string')
      throw new InputError(`expected a module with type and path, found ${quote(entry)}`, place);
    const kind = type.split('.').at(-1)!;
    const isKnown =
      /^sentence_transformers\./.test(type) && (HEADS.has(kind) || Object.hasOwn(READERS, kind));
    if (!isKnown) throw unknownModule(model, type);
    return { kind, path: path.replace(/\/$/, '') };
  });
}

function unknownModule(model: Model, type: string): InputError {
  const known = [...HEADS, ...Object.keys(READERS)].join(', ');
  return new InputError(
    `unsupported module ${quote(type)}, expected sentence_transformers' ${known}`,
    placeOf(model, MODULES_FILE),
  );
}

/** The modules that a list begins with. */
const HEADS: ReadonlySet<string> = new Set(['Transformer', 'Pooling']);

type ReadStep = (
  model: Model,
  path: string,
  size: number,
  weights: Map<string, ModuleTensor>,
) => Promise<EmbeddingStep | undefined>;

/** The modules that may follow. */
const READERS: Readonly<Record<string, ReadStep>> = {
  Dense: readDense,
  Normalize: async () => ({ kind: 'normalize' }),
  Dropout: async () => undefined,
};

/** The older names of modes, in the order in which they are concatenated. */
const MODE_FLAGS: Readonly<Record<string, PoolingMode>> = {
  pooling_mode_cls_token: 'cls',
  pooling_mode_max_tokens: 'max',
  pooling_mode_mean_tokens: 'mean',
  pooling_mode_mean_sqrt_len_tokens: 'mean_sqrt_len_tokens',
  pooling_mode_weightedmean_tokens: 'weightedmean',
  pooling_mode_lasttoken: 'lasttoken',
};

async function readPooling(model: Model, path: string, hiddenSize: number) {
  const name = `${path}/config.json`;
  const place = placeOf(model, name);
  const config = await readObject(model, name);
  if (!config) throw new InputError('missing: the pooling of an embedding model', place);
  const { word_embedding_dimension, embedding_dimension, include_prompt, pooling_mode, ...flags } = config;
  const size = embedding_dimension ?? word_embedding_dimension ?? hiddenSize;
  if (size !== hiddenSize)
    throw new InputError(`expected pooling of ${hiddenSize} features, found ${quote(size)}`, place);
  if (![undefined, null, true, false].includes(include_prompt as boolean))
    throw new InputError(
      `expected include_prompt to be true or false, found ${quote(include_prompt)}`,
      place,
    );
  for (const [key, value] of Object.entries(flags)) {
    if (!Object.hasOwn(MODE_FLAGS, key))
      throw new InputError(`unsupported setting ${key} = ${quote(value)}`, place);
    if (typeof value !== 'boolean')
      throw new InputError(`expected ${key} to be true or false, found ${quote(value)}`, place);
  }
  const flagged = Object.keys(MODE_FLAGS).flatMap((key) => (flags[key] ? [MODE_FLAGS[key]!] : []));
  const given = pooling_mode ?? (flagged.length ? flagged : 'mean');
  const modes = (Array.isArray(given) ? given : [given]) as readonly unknown[];
  const wrong = modes.find((mode) => !POOLING_MODES.includes(mode as PoolingMode));
  if (wrong !== undefined || !modes.length)
    throw new InputError(
      `unsupported pooling mode ${quote(wrong)}, expected one of ${POOLING_MODES.join(', ')}`,
      place,
    );
  return { modes: modes as readonly PoolingMode[], includePrompt: include_prompt !== false };
}

/** Names of activations in config.json, by the last part of their class. */
const ACTIVATIONS: Readonly<Record<string, string | undefined>> = {
  Identity: undefined,
  Tanh: 'tanh',
  GELU: 'gelu',
  ReLU: 'relu',
  SiLU: 'silu',
};

async function readDense(
  model: Model,
  path: string,
  size: number,
  weights: Map<string, ModuleTensor>,
): Promise<EmbeddingStep> {
  const name = `${path}/config.json`;
  const place = placeOf(model, name);
  const config = await readObject(model, name);
  if (!config) throw new InputError('missing: the settings of a dense layer', place);
  const { in_features: inputs, out_features: outputs, bias = true, activation_function, ...others } = config;
  if (inputs !== size)
    throw new InputError(`expected in_features to be ${size}, found ${quote(inputs)}`, place);
  if (!(Number.isSafeInteger(outputs) && (outputs as number) > 0))
    throw new InputError(`expected out_features to be a positive integer, found ${quote(outputs)}`, place);
  if (typeof bias !== 'boolean')
    throw new InputError(`expected bias to be true or false, found ${quote(bias)}`, place);
  for (const [key, value] of Object.entries(others))
    if (value !== null && value !== false && value !== 'sentence_embedding')
      throw new InputError(`unsupported setting ${key} = ${quote(value)}`, place);
  const activation = String(activation_function ?? 'torch.nn.modules.activation.Tanh')
    .split('.')
    .at(-1)!;
  if (!Object.hasOwn(ACTIVATIONS, activation))
    throw new InputError(
      `unsupported activation ${quote(activation_function)}, expected one of ${Object.keys(ACTIVATIONS).join(', ')}`,
      place,
    );
  const tensors = await readModuleWeights(model, path);
  const take = (tensor: string, shape: readonly number[]) => {
    const found = tensors.get(tensor);
    if (!found || `${found.shape}` !== `${shape}`)
      throw new InputError(
        `expected ${tensor} of shape ${quote(shape)}, found ${found ? quote(found.shape) : 'none'}`,
        { file: `${model.id}, ${path}` },
      );
    const input = `${path} ${tensor}`;
    weights.set(input, found);
    return input;
  };
  const matrix = take('linear.weight', [outputs as number, size]);
  const vector = bias ? take('linear.bias', [outputs as number]) : '';
  const extra = [...tensors.keys()].find((tensor) => ![matrix, vector].includes(`${path} ${tensor}`));
  if (extra !== undefined)
    throw new InputError('not used by a dense layer, so results would be wrong', {
      file: `${model.id}, ${path}`,
      tensor: extra,
    });
  return {
    kind: 'dense',
    inputs: size,
    outputs: outputs as number,
    activation: ACTIVATIONS[activation],
    bias,
    matrix,
    vector,
  };
}
