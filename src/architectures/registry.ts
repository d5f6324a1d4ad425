import type { Config } from '../core/json.js';
import { isPlainObject } from '../core/json.js';
import type { TensorInfo } from '../core/model.js';
import { readDimensions } from './dimensions.js';
import type { Family, Role } from './family.js';
import { type Quantization, quantizationOf } from './quantization-config.js';
import { gptNeo } from './roles/gpt_neo.js';
import { gptNeox } from './roles/gpt_neox.js';
import { gpt2 } from './roles/gpt2.js';
import { llama, qwen2 } from './roles/llama.js';
import { roberta } from './roles/roberta.js';
import { guessRole } from './roles/unknown.js';

/** Families with known tensor names. */
export const FAMILIES: readonly Family[] = [gptNeo, gpt2, roberta, llama, qwen2, gptNeox];

/** Finds the family of a config by `model_type` or, if there is none, by `architectures`. */
export function findFamily(config: Config | undefined): Family | undefined {
  if (typeof config?.model_type === 'string') {
    const type = config.model_type;
    return FAMILIES.find(({ modelTypes }) => modelTypes.includes(type));
  }
  const name = className(config);
  return name === undefined ? undefined : FAMILIES.find(({ classes }) => classes.test(name));
}

/** Architecture of a model as stated in its config; undefined where the config states nothing. */
export interface Architecture {
  /** The family's name as people write it (`GPT-Neo`), for those that are known. */
  readonly family: string | undefined;
  /** `model_type` of the config. */
  readonly modelType: string | undefined;
  /** The first of `architectures` in the config. */
  readonly className: string | undefined;
  /** Transformer blocks. */
  readonly layers: number | undefined;
  /** Features of a hidden state. */
  readonly hiddenSize: number | undefined;
  /** Attention heads per layer. */
  readonly heads: number | undefined;
  /** Heads of keys and values per layer; as many as `heads` unless they are shared. */
  readonly keyValueHeads: number | undefined;
  /** Maximum length of the input in tokens. */
  readonly context: number | undefined;
  /** Tokens that the embedding has rows for. */
  readonly vocabulary: number | undefined;
  /** Whether embeddings are tied. */
  readonly tiedEmbeddings: boolean | undefined;
  /** Experts of a layer that a router chooses from. */
  readonly experts: number | undefined;
  /** Experts that a token passes. */
  readonly activeExperts: number | undefined;
  /** How many tokens back attention sees, and in how many layers where the config lists them; undefined when all tokens are seen. */
  readonly slidingWindow:
    | {
        /** Tokens that are seen. */
        readonly tokens: number;
        /** Layers in which it is so; undefined for all. */
        readonly layers: number | undefined;
      }
    | undefined;
  /** How weights are packed; undefined for weights that are not. */
  readonly quantization: Quantization | undefined;
}

/** Reads the architecture from a config; everything is undefined without one. */
export function describeArchitecture(config: Config | undefined): Architecture {
  const family = findFamily(config);
  // multimodal models have the language model's settings in text_config
  const text = isPlainObject(config?.text_config) ? { ...config, ...config.text_config } : (config ?? {});
  const size = readDimensions(text);
  const reserved = (config && family?.reservedPositions?.(config)) ?? 0;
  return {
    family: family?.name,
    modelType: typeof config?.model_type === 'string' ? config.model_type : undefined,
    className: className(config),
    layers: size.layers,
    hiddenSize: size.hiddenSize,
    heads: size.heads,
    keyValueHeads: size.keyValueHeads,
    context: size.positions && size.positions - reserved,
    vocabulary: size.vocabulary,
    tiedEmbeddings: embeddingsAreTied(config),
    experts: countIn(text, ['num_local_experts', 'num_experts', 'n_routed_experts', 'moe_num_experts']),
    activeExperts: countIn(text, [
      'num_experts_per_tok',
      'num_experts_per_token',
      'experts_per_token',
      'num_selected_experts',
      'moe_topk',
      'moe_k',
    ]),
    slidingWindow: slidingWindowOf(text),
    quantization: quantizationOf(config),
  };
}

function countIn(config: Config, keys: readonly string[]): number | undefined {
  return keys
    .map((key) => config[key])
    .find((value): value is number => Number.isSafeInteger(value) && (value as number) > 0);
}

function slidingWindowOf(config: Config): Architecture['slidingWindow'] {
  const tokens = countIn(config, ['sliding_window', 'window_size']);
  if (tokens === undefined || config.use_sliding_window === false) return undefined;
  const kinds = [config.layer_types, config.attention_layers].find(Array.isArray);
  const slides = kinds?.filter((kind) => kind === 'sliding_attention' || kind === 'local').length;
  return slides === 0 ? undefined : { tokens, layers: slides };
}

/** Returns whether embeddings are tied, from the config or its family's default. */
export function embeddingsAreTied(config: Config | undefined): boolean | undefined {
  const text = isPlainObject(config?.text_config) ? config.text_config : undefined;
  const tied = config?.tie_word_embeddings ?? text?.tie_word_embeddings;
  return typeof tied === 'boolean' ? tied : findFamily(config)?.tiedByDefault;
}

/** Returns a tensor's role: by its family's names, or else by common names and shapes. */
export function tensorRole(tensor: Pick<TensorInfo, 'name' | 'shape'>, config: Config | undefined): Role {
  const family = findFamily(config);
  const name = family ? withoutPrefix(tensor.name, family) : tensor.name;
  return (
    family?.roles.find(([pattern]) => pattern.test(name))?.[1] ?? guessRole({ name, shape: tensor.shape })
  );
}

/** Returns a tensor's name without the family's prefix. */
export function withoutPrefix(name: string, { prefix }: Family): string {
  return name.startsWith(prefix) ? name.slice(prefix.length) : name;
}

function className(config: Config | undefined): string | undefined {
  const [first] = Array.isArray(config?.architectures) ? config.architectures : [];
  return typeof first === 'string' ? first : undefined;
}
