import { isPlainObject } from '../../core/json.js';

/** A rule that splits text into words before byte pairs are merged: llama.cpp's names, and the `pre_tokenizer` of tokenizer.json. */
export interface PreTokenizer {
  /** Names in GGUF; the first is used for writing. */
  readonly names: readonly string[];
  readonly definition: object;
  /** Whether a word that is a token needs no merges. */
  readonly ignoresMerges: boolean;
  /** llama.cpp's default for prepending the BOS token. */
  readonly addsFirst: boolean;
}

const byteLevel = (use_regex: boolean) => ({
  type: 'ByteLevel',
  add_prefix_space: false,
  trim_offsets: true,
  use_regex,
});

/** Returns the pattern of Llama 3 and Qwen2, which differ in how many digits form a word. */
const byPattern = (digits: string) => ({
  type: 'Sequence',
  pretokenizers: [
    {
      type: 'Split',
      pattern: {
        Regex: `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`,
      },
      behavior: 'Isolated',
      invert: false,
    },
    byteLevel(false),
  ],
});

const PRE_TOKENIZERS: readonly PreTokenizer[] = [
  {
    names: ['gpt-2', 'olmo', 'jais', 'phi-2', 'mpt', 'gigachat', 'roberta-bpe'],
    definition: byteLevel(true),
    ignoresMerges: false,
    addsFirst: false,
  },
  {
    names: ['llama-bpe', 'llama3', 'llama-v3'],
    definition: byPattern('\\p{N}{1,3}'),
    ignoresMerges: true,
    addsFirst: true,
  },
  {
    names: ['qwen2', 'deepseek-r1-qwen'],
    definition: byPattern('\\p{N}'),
    ignoresMerges: false,
    addsFirst: false,
  },
  {
    names: ['smollm'],
    definition: {
      type: 'Sequence',
      pretokenizers: [{ type: 'Digits', individual_digits: true }, byteLevel(true)],
    },
    ignoresMerges: false,
    addsFirst: false,
  },
];

/** Finds a rule by llama.cpp's name. */
export function preTokenizerNamed(name: unknown): PreTokenizer | undefined {
  return PRE_TOKENIZERS.find(({ names }) => names.some((known) => known === name));
}

/** Finds the rule that splits text like the `pre_tokenizer` of a tokenizer.json. */
export function preTokenizerLike(definition: unknown): PreTokenizer | undefined {
  const steps = stepsOf(definition);
  return PRE_TOKENIZERS.find((known) => stepsOf(known.definition) === steps);
}

/** Returns the settings that affect splitting; libraries differ in the rest. */
function stepsOf(definition: unknown): string {
  if (!isPlainObject(definition)) return '';
  const { type, pretokenizers, pattern, behavior, add_prefix_space, use_regex, individual_digits } =
    definition;
  if (Array.isArray(pretokenizers)) return pretokenizers.map(stepsOf).join(' then ');
  const regex = isPlainObject(pattern) ? pattern.Regex : undefined;
  return [type, regex, behavior, add_prefix_space === true, use_regex !== false, individual_digits].join();
}
