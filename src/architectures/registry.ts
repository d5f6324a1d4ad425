import type { TensorInfo } from '../formats/model.js';
import { readDimensions } from './dimensions.js';
import type { Family, Role } from './family.js';
import { gptNeo } from './roles/gpt_neo.js';
import { gptNeox } from './roles/gpt_neox.js';
import { gpt2 } from './roles/gpt2.js';
import { llama, qwen2 } from './roles/llama.js';
import { roberta } from './roles/roberta.js';
import { guessRole } from './roles/unknown.js';

type Config = Readonly<Record<string, unknown>>;

/** The families whose tensors are known by name. */
export const FAMILIES: readonly Family[] = [gptNeo, gpt2, roberta, llama, qwen2, gptNeox];

/** The family of a config, by `model_type`, or by `architectures` where there is none. */
export function findFamily(config: Config | undefined): Family | undefined {
  if (typeof config?.model_type === 'string') {
    const type = config.model_type;
    return FAMILIES.find(({ modelTypes }) => modelTypes.includes(type));
  }
  const name = className(config);
  return name === undefined ? undefined : FAMILIES.find(({ classes }) => classes.test(name));
}

/** What a config says about the model; what it does not say is undefined. */
export interface Architecture {
  /** As people write it (`GPT-Neo`), for the families known here. */
  readonly family: string | undefined;
  readonly modelType: string | undefined;
  readonly className: string | undefined;
  readonly layers: number | undefined;
  readonly hiddenSize: number | undefined;
  readonly heads: number | undefined;
  readonly keyValueHeads: number | undefined;
  /** The longest input, in tokens. */
  readonly context: number | undefined;
  readonly vocabulary: number | undefined;
  /** Whether the output matrix is the token embedding. */
  readonly tiedEmbeddings: boolean | undefined;
}

/** Reads the architecture from a config; from none, everything is undefined. */
export function describeArchitecture(config: Config | undefined): Architecture {
  const family = findFamily(config);
  const size = readDimensions(config ?? {});
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
  };
}

/** Whether the output matrix is the token embedding: what the config says, or its family's default. */
export function embeddingsAreTied(config: Config | undefined): boolean | undefined {
  const said = config?.tie_word_embeddings;
  return typeof said === 'boolean' ? said : findFamily(config)?.tiedByDefault;
}

/** What a tensor is for: by its family's names, else by names and shapes common to many families. */
export function tensorRole(tensor: Pick<TensorInfo, 'name' | 'shape'>, config: Config | undefined): Role {
  const family = findFamily(config);
  const name = family ? withoutPrefix(tensor.name, family) : tensor.name;
  return (
    family?.roles.find(([pattern]) => pattern.test(name))?.[1] ?? guessRole({ name, shape: tensor.shape })
  );
}

/** A tensor's name without the prefix that some checkpoints of its family have and others lack. */
export function withoutPrefix(name: string, { prefix }: Family): string {
  return name.startsWith(prefix) ? name.slice(prefix.length) : name;
}

function className(config: Config | undefined): string | undefined {
  const [first] = Array.isArray(config?.architectures) ? config.architectures : [];
  return typeof first === 'string' ? first : undefined;
}
