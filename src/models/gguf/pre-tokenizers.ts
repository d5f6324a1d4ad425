import { isPlainObject } from '../../core/json.js';

/** A rule that splits text into words before byte pairs are merged: llama.cpp's names, and the `pre_tokenizer` of tokenizer.json. */
export interface PreTokenizer {
  /** Names in GGUF; the first is used for writing. */
  readonly names: readonly string[];
  readonly definition: object;
  /** Definitions that split text in the same way. */
  readonly alike?: readonly object[];
  /** Whether a word that is a token needs no merges. */
  readonly ignoresMerges?: boolean;
  /** llama.cpp's default for prepending the BOS token. */
  readonly addsFirst?: boolean;
}

const byteLevel = (use_regex: boolean) => ({
  type: 'ByteLevel',
  add_prefix_space: false,
  trim_offsets: true,
  use_regex,
});

const sequence = (...pretokenizers: object[]) => ({ type: 'Sequence', pretokenizers });
const split = (Regex: string) => ({ type: 'Split', pattern: { Regex }, behavior: 'Isolated', invert: false });

/** Returns the rule that splits by patterns one after the other. */
const byPatterns = (...patterns: string[]) => sequence(...patterns.map(split), byteLevel(false));

const CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const SPACES = '\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';

/** Returns the pattern of GPT-4, Llama 3 and Qwen, which differ in how many digits form a word, and in whether marks are letters. */
const gpt4 = (digits: string, letters = '\\p{L}', word = letters) =>
  `${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?${word}+|${digits}| ?[^\\s${letters}\\p{N}]+[\\r\\n]*|${SPACES}`;

/** Returns the pattern of GPT-4o and Tekken, which split words where lower case is followed by upper case. */
const byCase = (contractions: string, digits: string) => {
  const [upper, lower] = ['[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]', '[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]'];
  const before = '[^\\r\\n\\p{L}\\p{N}]?';
  return `${before}${upper}*${lower}+${contractions}|${before}${upper}+${lower}*${contractions}|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${SPACES}`;
};

const GPT2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)";
const DIGITS = { type: 'Digits', individual_digits: true };

/** Letters with two cases, as DeepSeek's tokenizers list them. */
const CASED =
  'A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-ῌῐ-ΐῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃';
const HAN = '[一-龥\\u0800-一가-\\ud7ff]+';

/** Rules by llama.cpp's names (src/llama-vocab.cpp), as the models' own tokenizer.json has them. */
const PRE_TOKENIZERS: readonly PreTokenizer[] = [
  {
    names: [
      ...['gpt-2', 'olmo', 'jais', 'phi-2', 'mpt', 'gigachat', 'roberta-bpe', 'jina-v1-en', 'jina-v2-code'],
      ...['jina-es', 'jina-de', 'jina-v2-es', 'jina-v2-de', 'a.x-4.0', 'mellum', 'modern-bert', 'exaone4'],
      ...['trillion', 'granite-docling'],
    ],
    definition: byteLevel(true),
  },
  {
    names: [
      ...['llama-bpe', 'llama3', 'llama-v3', 'falcon3', 'falcon-h1', 'pixtral', 'midm-2.0', 'lfm2'],
      'jina-v5-nano',
    ],
    definition: byPatterns(gpt4('\\p{N}{1,3}')),
    ignoresMerges: true,
    addsFirst: true,
  },
  {
    names: ['dbrx', 'smaug-bpe', 'glm4', 'chatglm-bpe'],
    definition: byPatterns(gpt4('\\p{N}{1,3}')),
  },
  {
    names: [
      'qwen2',
      'deepseek-r1-qwen',
      'stablelm2',
      'megrez',
      'hunyuan',
      'solar-open',
      'grok-2',
      'kormo',
      'f2llmv2',
    ],
    definition: byPatterns(gpt4('\\p{N}')),
  },
  { names: ['qwen35'], definition: byPatterns(gpt4('\\p{N}', '\\p{L}\\p{M}', '[\\p{L}\\p{M}]')) },
  {
    names: ['smollm', 'starcoder', 'refact', 'command-r', 'codeshell', 'exaone', 'minerva-7b', 'mellum2'],
    definition: sequence(DIGITS, byteLevel(true)),
  },
  {
    names: ['falcon'],
    definition: byPatterns('[\\p{P}\\$\\+<=>\\^~\\|`]+', GPT2, '[0-9][0-9][0-9]'),
    alike: [
      sequence(
        { type: 'Punctuation', behavior: 'Contiguous' },
        byteLevel(true),
        { type: 'Digits', individual_digits: false },
        split('[0-9][0-9][0-9]'),
      ),
    ],
  },
  {
    names: ['bloom', 'poro-chat', 'gpt3-finnish'],
    definition: byPatterns(' ?[^(\\s|[.,!?…。，、।۔،])]+'),
  },
  {
    names: ['tekken'],
    definition: byPatterns(byCase('', '\\p{N}')),
    ignoresMerges: true,
    addsFirst: true,
  },
  {
    names: ['gpt-4o', 'llama4', 'kanana2', 'talkie', 'minimax-m2'],
    definition: byPatterns(byCase(`${CONTRACTIONS}?`, '\\p{N}{1,3}')),
  },
  {
    names: ['deepseek-llm'],
    definition: byPatterns(
      '[\\r\\n]',
      `\\s?[${CASED}]+`,
      '\\s?[!-/:-~！-／：-～‘-‟\u3000-。]+',
      '\\s+$',
      HAN,
      '\\p{N}+',
    ),
    alike: [],
  },
  {
    names: ['deepseek-coder'],
    definition: byPatterns('[\\r\\n]', '\\s?\\p{L}+', '\\s?\\p{P}+', HAN, '\\p{N}'),
  },
  {
    names: ['deepseek-v3', 'hunyuan-dense', 'joyai-llm'],
    definition: byPatterns(
      '\\p{N}{1,3}',
      '[一-龥\\u3040-ゟ゠-ヿ]+',
      '[!"#$%&\'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+',
    ),
  },
  {
    names: ['default'],
    definition: byPatterns('[\\p{P}\\$\\+<=>\\^~\\|]+', GPT2, '\\p{N}+', '[0-9][0-9][0-9]'),
  },
];

/** Finds a rule by llama.cpp's name. */
export function preTokenizerNamed(name: unknown): PreTokenizer | undefined {
  return PRE_TOKENIZERS.find(({ names }) => names.some((known) => known === name));
}

/**
 * Finds the rule that splits text like the `pre_tokenizer` of a tokenizer.json, of several the one that treats merges alike.
 * @param ignoresMerges whether a word that is a token needs no merges.
 */
export function preTokenizerLike(definition: unknown, ignoresMerges: boolean): PreTokenizer | undefined {
  const steps = stepsOf(definition);
  const known = PRE_TOKENIZERS.filter(({ definition, alike = [] }) =>
    [definition, ...alike].some((one) => stepsOf(one) === steps),
  );
  return known.find((rule) => (rule.ignoresMerges ?? false) === ignoresMerges) ?? known[0];
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
