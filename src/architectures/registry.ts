import type { Config } from '../core/json.js';
import { isPlainObject } from '../core/json.js';
import type { TensorInfo } from '../core/model.js';
import { readDimensions } from './dimensions.js';
import { albert } from './families/albert.js';
import { bert, roberta } from './families/bert.js';
import { bloom } from './families/bloom.js';
import { cohere, cohere2 } from './families/cohere.js';
import { deepseekV2, deepseekV3 } from './families/deepseek.js';
import { distilbert } from './families/distilbert.js';
import { graniteMoe, mixtral, olmoe, qwen2Moe, qwen3Moe } from './families/experts.js';
import { falcon } from './families/falcon.js';
import { gemma, gemma2, gemma3 } from './families/gemma.js';
import { glm4 } from './families/glm.js';
import { gptNeo } from './families/gpt_neo.js';
import { gptNeox } from './families/gpt_neox.js';
import { gptOss } from './families/gpt_oss.js';
import { gpt2 } from './families/gpt2.js';
import { codegen, gptj } from './families/gptj.js';
import { granite } from './families/granite.js';
import { lfm2 } from './families/lfm2.js';
import { llama, ministral, mistral } from './families/llama.js';
import { modernbert } from './families/modernbert.js';
import { electra, mpnet } from './families/mpnet.js';
import { nomicBert } from './families/nomic_bert.js';
import { olmo2, olmo3 } from './families/olmo.js';
import { opt } from './families/opt.js';
import { phi, phi3 } from './families/phi.js';
import { qwen2, qwen3 } from './families/qwen.js';
import { smollm3 } from './families/smollm3.js';
import { stablelm } from './families/stablelm.js';
import { gptBigCode, starcoder2 } from './families/starcoder.js';
import type { Family } from './family.js';
import { type Quantization, quantizationOf } from './quantization-config.js';
import type { Role } from './roles.js';
import { roleIn } from './tensor-roles.js';
import { tiedIn } from './tied.js';
import { guessRole } from './unknown.js';

/** The families whose models can be run. */
export const FAMILIES: readonly Family[] = [
  ...[llama, mistral, ministral, qwen2, qwen3, smollm3, granite, olmo2, olmo3, gemma, gemma2, gemma3],
  ...[phi, phi3, stablelm, starcoder2, cohere, cohere2, lfm2, glm4],
  ...[gptNeo, gpt2, gptNeox, gptj, codegen, gptBigCode, falcon, bloom, opt],
  ...[mixtral, qwen2Moe, qwen3Moe, gptOss, olmoe, graniteMoe, deepseekV2, deepseekV3],
  ...[bert, roberta, distilbert, mpnet, electra, albert, modernbert, nomicBert],
];

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
  return (config && tiedIn(config)) ?? findFamily(config)?.tiedByDefault;
}

/** Returns a tensor's role: by its family's names, or else by common names and shapes. */
export function tensorRole(tensor: Pick<TensorInfo, 'name' | 'shape'>, config: Config | undefined): Role {
  const family = findFamily(config);
  return (family && roleIn(tensor.name, family)) ?? guessRole(tensor);
}

function className(config: Config | undefined): string | undefined {
  const [first] = Array.isArray(config?.architectures) ? config.architectures : [];
  return typeof first === 'string' ? first : undefined;
}
