import type { GgufValue } from './header.js';
import { typeNamed } from './types.js';

/** The mixtures of llama.cpp that can be written. */
export const MIXTURE_NAMES = [
  'Q2_K',
  'Q3_K_S',
  'Q3_K_M',
  'Q3_K_L',
  'Q4_0',
  'Q4_K_S',
  'Q4_K_M',
  'IQ4_XS',
  'IQ4_NL',
  'Q5_0',
  'Q5_K_S',
  'Q5_K_M',
  'Q6_K',
  'Q8_0',
] as const;

/** A mixture of llama.cpp, by its name. */
export type Mixture = (typeof MIXTURE_NAMES)[number];

/** The types that occur in mixtures: Q4_1 and Q5_1 in the first layers of Q4_0 and Q5_0, Q5_1 and F16 where other blocks do not fit. */
export type MixtureType =
  | 'Q2_K'
  | 'Q3_K'
  | 'Q4_K'
  | 'Q5_K'
  | 'Q6_K'
  | 'Q4_0'
  | 'Q4_1'
  | 'Q5_0'
  | 'Q5_1'
  | 'Q8_0'
  | 'IQ4_NL'
  | 'IQ4_XS'
  | 'F16';

/**
 * `general.file_type` of each mixture, and the type of matrices for which {@link mixtureTypes} has no other. Numbers are those of llama_ftype
 * in llama.h.
 */
export const MIXTURES: Readonly<Record<Mixture, { readonly fileType: number; readonly type: MixtureType }>> =
  {
    Q2_K: { fileType: 10, type: 'Q2_K' },
    Q3_K_S: { fileType: 11, type: 'Q3_K' },
    Q3_K_M: { fileType: 12, type: 'Q3_K' },
    Q3_K_L: { fileType: 13, type: 'Q3_K' },
    Q4_0: { fileType: 2, type: 'Q4_0' },
    Q4_K_S: { fileType: 14, type: 'Q4_K' },
    Q4_K_M: { fileType: 15, type: 'Q4_K' },
    IQ4_XS: { fileType: 30, type: 'IQ4_XS' },
    IQ4_NL: { fileType: 25, type: 'IQ4_NL' },
    Q5_0: { fileType: 8, type: 'Q5_0' },
    Q5_K_S: { fileType: 16, type: 'Q5_K' },
    Q5_K_M: { fileType: 17, type: 'Q5_K' },
    Q6_K: { fileType: 18, type: 'Q6_K' },
    Q8_0: { fileType: 7, type: 'Q8_0' },
  };

/** What the types depend on, beside the tensors. */
export interface MixtureModel {
  /** `general.architecture`. */
  readonly architecture: string;
  readonly layers: number;
  /** Experts per layer; 0 if there are none. */
  readonly experts: number;
  /** Heads of queries, and of keys and values, in the first layer. Layers without attention have 0 of the latter. */
  readonly heads: number;
  readonly keyValueHeads: number;
}

/** A tensor as it is named in GGUF. */
export interface MixtureTensor {
  readonly name: string;
  /** Row-major: the length of a row is last. */
  readonly shape: readonly number[];
}

/** A tensor whose rows are not whole blocks of the type that the mixture has for it. */
export interface Fallback {
  /** As llama.cpp names it. */
  readonly name: string;
  /** The type that it should have. */
  readonly wanted: MixtureType;
  /** The type that it has. */
  readonly given: MixtureType;
}

/** Returns what the types depend on, from a GGUF file's metadata. */
export function mixtureModel(metadata: ReadonlyMap<string, GgufValue>): MixtureModel {
  const architecture = String(metadata.get('general.architecture'));
  const get = (key: string) => {
    const value = metadata.get(`${architecture}.${key}`);
    const first = Array.isArray(value) ? value[0] : value;
    return first === undefined ? undefined : Number(first);
  };
  const heads = get('attention.head_count') ?? 0;
  return {
    architecture,
    layers: get('block_count') ?? 0,
    experts: get('expert_count') ?? 0,
    heads,
    keyValueHeads: get('attention.head_count_kv') ?? heads,
  };
}

/**
 * Returns the type of each tensor that a mixture quantizes, and which of them could not get the type that the mixture has for them. All
 * others stay as they are. The same as in llama.cpp v0.4.0 (src/llama-quant.cpp; the order is that of src/llama-model-loader.h).
 * @param isWeighted whether the importance of columns is known, llama.cpp's importance matrix.
 */
export function mixtureTypes(
  mixture: Mixture,
  model: MixtureModel,
  tensors: readonly MixtureTensor[],
  { isWeighted = true }: { readonly isWeighted?: boolean } = {},
): { readonly types: ReadonlyMap<string, MixtureType>; readonly fallbacks: readonly Fallback[] } {
  const types = new Map<string, MixtureType>();
  const fallbacks: Fallback[] = [];
  for (const { tensor, ...place } of placesOf(model, tensors)) {
    const wanted = wantedType(mixture, { ...place, model, isWeighted });
    const given = fittingType(wanted, tensor.shape);
    types.set(tensor.name, given);
    if (given !== wanted) fallbacks.push({ name: tensor.name, wanted, given });
  }
  return { types, fallbacks };
}

/** What a matrix is for, as far as some mixture has a rule for it. */
type Role = 'head' | 'value' | 'key' | 'output' | 'down';

/** llama.cpp looks for these anywhere in a name, except for the first. Fused matrices count as values. */
const ROLES: Readonly<Record<Role, RegExp>> = {
  head: /^output\.weight$/,
  value: /attn_(v|qkv|kv_b)\.weight/,
  key: /attn_k\.weight/,
  output: /attn_output\.weight/,
  down: /ffn_down/,
};
const EMBEDDING = /^(per_layer_)?token_embd\.weight$/;

/** Where a matrix is. */
interface Place {
  readonly role: Role | undefined;
  /** Which of the matrices in this role, or the number of the layer, out of how many. */
  readonly index: number;
  readonly count: number;
}

/** Finds the roles of the matrices that are quantized, and numbers them in llama.cpp's order. */
function placesOf(
  { layers, experts }: MixtureModel,
  tensors: readonly MixtureTensor[],
): (Place & { readonly tensor: MixtureTensor })[] {
  const isTied = !tensors.some(({ name }) => ROLES.head.test(name));
  const roleOf = (name: string): Role | undefined => {
    if (EMBEDDING.test(name)) return isTied ? 'head' : undefined;
    return (Object.keys(ROLES) as Role[]).find((role) => ROLES[role].test(name));
  };
  const values = tensors.filter(({ name }) => ROLES.value.test(name)).length;
  const seen = new Map<Role | undefined, number>();
  return tensors
    .filter(isQuantized)
    .sort(inOrder)
    .map((tensor) => {
      const role = roleOf(tensor.name);
      const before = seen.get(role) ?? 0;
      seen.set(role, before + 1);
      // each layer has several down-projections
      const index = role === 'down' && experts > 1 ? layerOf(tensor) : before;
      return { tensor, role, index, count: role === 'value' ? values : layers };
    });
}

const layerOf = ({ name }: MixtureTensor) => Number(/^blk\.(\d+)/.exec(name)?.[1] ?? -1);

/** Layer by layer, and by name within a layer. */
const inOrder = (a: MixtureTensor, b: MixtureTensor) =>
  layerOf(a) - layerOf(b) || (a.name < b.name ? -1 : Number(a.name > b.name));

/** Parts of names of matrices that llama.cpp does not quantize: they are small, or it needs them as they are. */
const KEPT = new RegExp(
  [
    /_norm\.weight|ffn_gate_inp\.weight|ffn_gate_tid2eid\.weight|attn_rel_b\.weight/,
    /^(position_embd|token_types)\.weight$|altup|laurel|per_layer_model_proj/,
    /ssm_conv1d|shortconv\.conv\.weight|indexer\.[kq]_proj\.weight/,
    /time_mix_(first|[wva][012]|g[12]|decay_w[12]|lerp_fused)\.weight/,
    /\.position_embd|sam\.(pos_embd|neck\.|net_)|\.rel_pos|\.patch_(embd|merger)/,
    /a\.rvq\.codebook|mm\.a\.code_embd/,
  ]
    .map(({ source }) => source)
    .join('|'),
);

/** Returns whether a tensor is quantized: a weight that is more than one row. */
function isQuantized({ name, shape }: MixtureTensor): boolean {
  return shape.slice(0, -1).some((length) => length > 1) && name.endsWith('weight') && !KEPT.test(name);
}

interface Matrix extends Place {
  readonly model: MixtureModel;
  readonly isWeighted: boolean;
}

/** A type, or how it depends on the matrix; undefined is the mixture's own. */
type Choice = MixtureType | ((matrix: Matrix) => MixtureType | undefined);
/** The types of matrices in a role that are not the mixture's own. */
type Choices = { readonly [mixture in Mixture]?: Choice };

const isFirst = (part: number, { index, count }: Matrix) => index < Math.floor(count / part);
/** The first and the last eighth, and every third between. */
const isRaised = ({ index, count }: Matrix) => {
  const eighth = Math.floor(count / 8);
  return index < eighth || index >= Math.floor((7 * count) / 8) || (index - eighth) % 3 === 2;
};
const isShared = ({ model: { heads, keyValueHeads } }: Matrix) =>
  keyValueHeads > 0 && Math.floor(heads / keyValueHeads) >= 4;

const only =
  (type: MixtureType, when: (matrix: Matrix) => boolean): Choice =>
  (matrix) =>
    when(matrix) ? type : undefined;
const firstEighth = (matrix: Matrix) => isFirst(8, matrix);
const weightedEighth = (matrix: Matrix) => matrix.isWeighted && firstEighth(matrix);
const plainEighth = (matrix: Matrix) => !matrix.isWeighted && firstEighth(matrix);

/** The same choice in several mixtures, or in all. */
function inAll(choice: Choice, mixtures: readonly Mixture[] = MIXTURE_NAMES): Choices {
  return Object.fromEntries(mixtures.map((mixture) => [mixture, choice]));
}

const USUAL: Readonly<Record<Role, Choices>> = {
  head: { ...inAll('Q6_K'), Q8_0: 'Q8_0' },
  value: {
    Q2_K: (matrix) => (isShared(matrix) ? 'Q4_K' : 'Q3_K'),
    Q3_K_M: ({ index }) => (index < 2 ? 'Q5_K' : 'Q4_K'),
    Q3_K_L: 'Q5_K',
    Q4_K_S: only('Q5_K', ({ index }) => index < 4),
    Q4_K_M: only('Q6_K', isRaised),
    IQ4_XS: only('Q5_K', isShared),
    IQ4_NL: only('Q5_K', isShared),
    Q5_K_M: only('Q6_K', isRaised),
  },
  key: {},
  output: { Q2_K: 'Q3_K', Q3_K_M: 'Q4_K', Q3_K_L: 'Q5_K' },
  down: {
    Q2_K: 'Q3_K',
    Q3_K_M: (matrix) => (isFirst(16, matrix) ? 'Q5_K' : 'Q4_K'),
    Q3_K_L: 'Q5_K',
    Q4_0: only('Q4_1', weightedEighth),
    Q4_K_S: only('Q5_K', firstEighth),
    Q4_K_M: only('Q6_K', isRaised),
    IQ4_XS: only('Q5_K', plainEighth),
    IQ4_NL: only('Q5_K', plainEighth),
    Q5_0: only('Q5_1', weightedEighth),
    Q5_K_M: only('Q6_K', isRaised),
  },
};

/** With 8 experts, attention is a small part of the model. */
const EIGHT_EXPERTS: Partial<typeof USUAL> = {
  value: inAll('Q8_0'),
  key: inAll('Q8_0'),
  output: inAll('Q5_K', ['Q2_K', 'Q3_K_S', 'Q3_K_M', 'Q4_K_S', 'Q4_K_M', 'IQ4_XS', 'IQ4_NL']),
};

const FALCON: Partial<typeof USUAL> = {
  head: inAll('Q8_0'),
  output: { Q3_K_L: 'Q4_K' },
  down: {
    ...USUAL.down,
    Q3_K_M: (matrix) => (isFirst(16, matrix) ? 'Q5_K' : isRaised(matrix) ? 'Q4_K' : 'Q3_K'),
    Q3_K_L: 'Q4_K',
    Q4_K_S: 'Q4_K',
    Q4_K_M: (matrix) => (isFirst(16, matrix) ? 'Q6_K' : isRaised(matrix) ? 'Q5_K' : 'Q4_K'),
  },
};

/** Layers by which llama.cpp knows a model of about 70 billion parameters. */
const LAYERS_OF_70B: Readonly<Record<string, number>> = {
  llama: 80,
  'llama-embed': 80,
  qwen2: 80,
  deci: 80,
  olmo: 80,
  jais2: 68,
};

function is70B({ architecture, layers, heads, keyValueHeads }: MixtureModel): boolean {
  if (LAYERS_OF_70B[architecture] !== layers) return false;
  return !architecture.startsWith('llama') || heads !== keyValueHeads;
}

/** Returns the type that a mixture has for a matrix. */
function wantedType(mixture: Mixture, matrix: Matrix): MixtureType {
  const { role, model } = matrix;
  const own = MIXTURES[mixture].type;
  if (!role) return own;
  const choices =
    (model.architecture === 'falcon' && FALCON[role]) ||
    (model.experts === 8 && EIGHT_EXPERTS[role]) ||
    USUAL[role];
  const choice = choices[mixture];
  const type = (typeof choice === 'function' ? choice(matrix) : choice) ?? own;
  const isLow = type === 'Q3_K' || type === 'Q4_K';
  return role === 'value' && isLow && is70B(model) ? 'Q5_K' : type;
}

/** Types with blocks of 32 elements instead of 256. */
const SMALLER: { readonly [type in MixtureType]?: MixtureType } = {
  Q2_K: 'Q4_0',
  Q3_K: 'Q4_0',
  Q4_K: 'Q5_0',
  Q5_K: 'Q5_1',
  Q6_K: 'Q8_0',
  IQ4_XS: 'IQ4_NL',
};

/** Returns a type of whose blocks rows consist: the wanted one, one with smaller blocks, or F16. */
export function fittingType(wanted: MixtureType, shape: readonly number[]): MixtureType {
  const fits = (type: MixtureType) => shape.at(-1)! % typeNamed(type).blockElements === 0;
  return [wanted, SMALLER[wanted] ?? wanted].find(fits) ?? 'F16';
}
