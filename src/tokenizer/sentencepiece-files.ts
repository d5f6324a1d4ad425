import { InputError } from '../core/errors.js';
import { type Config, isPlainObject, quote } from '../core/json.js';
import { contentOf } from './byte-level-bpe.js';
import { type AddedToken, type Around, addedToken, sentencePieceTokenizer } from './sentencepiece.js';
import {
  PIECE_TYPES,
  type Piece,
  parseSentencePiece,
  type SentencePieceFile,
} from './sentencepiece-model.js';

/** Names of SentencePiece's file in a model's folder. */
export const SENTENCEPIECE_FILES = ['tokenizer.model', 'spiece.model', 'sentencepiece.bpe.model'] as const;

/** The files beside a SentencePiece model that say how it is used. */
export interface SentencePieceSettings {
  /** tokenizer_config.json. */
  readonly config: Config;
  /** added_tokens.json: ids by text. */
  readonly added: Config | undefined;
  /** `model_type` of config.json. */
  readonly modelType: unknown;
}

/**
 * Converts a SentencePiece file to tokenizer.json and tokenizer_config.json, as the tokenizer class of its model uses it.
 * @throws {InputError} when it is damaged, or its settings are malformed.
 */
export function fromSentencePiece(
  bytes: Uint8Array,
  settings: SentencePieceSettings,
  file: string,
): { definition: Config; config: Config } {
  const parsed = parseSentencePiece(bytes, file);
  const usage = USAGES.find(({ names }) => names.test(familyOf(settings))) ?? USAGES.at(-1)!;
  const model = usage.pieces ? { ...parsed, ...usage.pieces(parsed) } : parsed;
  const added = declaredTokens(settings, file);
  const { prefix = [], suffix = [], more = [], normalizers } = usage.around(parsed, settings.config);
  const firstFree = Math.max(model.pieces.length, ...added.map(({ id }) => id + 1));
  const known = new Set([...model.pieces.map(({ text }) => text), ...added.map(({ content }) => content)]);
  const missing = more.filter((content) => !known.has(content));
  const around: Around = {
    prefix,
    suffix,
    added: [...added, ...missing.map((content, i) => addedToken(firstFree + i, content, true))],
    prefixesAll: settings.config.legacy !== false,
    normalizers,
  };
  const named = { unk_token: model.pieces[model.unknown]?.text, ...namedPieces(parsed) };
  return {
    definition: sentencePieceTokenizer(model, around, file),
    config: { ...named, ...settings.config },
  };
}

/** Returns the names of the control pieces that begin and end a text. */
function namedPieces({ pieces, begin, end }: SentencePieceFile): Config {
  const nameOf = (id: number) => (pieces[id]?.type === PIECE_TYPES.control ? pieces[id].text : undefined);
  return { bos_token: nameOf(begin), eos_token: nameOf(end) };
}

/** Returns the tokenizer's class without `Tokenizer` and `Fast`, or the model's type, in lower case. */
function familyOf({ config, modelType }: SentencePieceSettings): string {
  const named = String(config.tokenizer_class ?? '').replace(/Tokenizer(Fast)?$/, '');
  const general = named === '' || /^PreTrained$|^TokenizersBackend$/.test(named);
  return (general ? String(modelType ?? '') : named).toLowerCase().replaceAll(/[-_]/g, '');
}

interface Usage {
  /** Tokenizer classes in lower case. */
  readonly names: RegExp;
  /** Returns the pieces and the unknown one, for classes that number them anew. */
  readonly pieces?: (file: SentencePieceFile) => { pieces: readonly Piece[]; unknown: number };
  /** Returns tokens around a text, and special tokens that follow the pieces. */
  readonly around: (
    file: SentencePieceFile,
    config: Config,
  ) => Partial<Pick<Around, 'prefix' | 'suffix' | 'normalizers'>> & { more?: readonly string[] };
}

const special = (text: string, score = 0): Piece => ({ text, score, type: PIECE_TYPES.control });
const unknown = (text: string): Piece => ({ text, score: 0, type: PIECE_TYPES.unknown });
const named = (config: Config, key: string, byDefault: string): string => contentOf(config[key]) ?? byDefault;

/** How tokenizer classes use a SentencePiece model: https://github.com/huggingface/transformers, convert_slow_tokenizer.py. */
const USAGES: readonly Usage[] = [
  {
    names: /^(xlmroberta|xlmrobertaxl)$/,
    pieces: ({ pieces }) => ({
      pieces: [special('<s>'), special('<pad>'), special('</s>'), unknown('<unk>'), ...pieces.slice(3)],
      unknown: 3,
    }),
    around: () => ({ prefix: ['<s>'], suffix: ['</s>'], more: ['<mask>'] }),
  },
  {
    names: /^camembert$/,
    pieces: ({ pieces }) => ({
      pieces: [
        ...[special('<s>NOTUSED'), special('<pad>'), special('</s>NOTUSED')],
        ...[unknown('<unk>'), special('<unk>NOTUSED', -100), ...pieces.slice(1)],
      ],
      unknown: 3,
    }),
    around: () => ({ prefix: ['<s>'], suffix: ['</s>'], more: ['<mask>'] }),
  },
  {
    names: /^(t5|mt5|umt5)$/,
    around: (_, config) => ({
      suffix: [named(config, 'eos_token', '</s>')],
      more: sentinels(config.extra_ids ?? 100),
    }),
  },
  {
    names: /^albert$/,
    around: (_, config) => ({
      prefix: [named(config, 'cls_token', '[CLS]')],
      suffix: [named(config, 'sep_token', '[SEP]')],
      normalizers: [
        ...['``', "''"].map((quotes) => ({ type: 'Replace', pattern: { String: quotes }, content: '"' })),
        ...(config.keep_accents === true ? [] : [{ type: 'NFKD' }, { type: 'StripAccents' }]),
        ...(config.do_lower_case === false ? [] : [{ type: 'Lowercase' }]),
      ],
    }),
  },
  {
    names: /^/,
    around: ({ kind, pieces, begin, end }, config) => {
      const bos = named(config, 'bos_token', pieces[begin]?.text ?? '');
      const eos = named(config, 'eos_token', pieces[end]?.text ?? '');
      return {
        prefix: (config.add_bos_token ?? kind === 'bpe') === true && bos ? [bos] : [],
        suffix: config.add_eos_token === true && eos ? [eos] : [],
      };
    },
  },
];

/** Returns T5's sentinels, the last one first. */
function sentinels(count: unknown): string[] {
  const safe = Number.isInteger(count) && Number(count) >= 0 && Number(count) <= 1000 ? Number(count) : 0;
  return Array.from({ length: safe }, (_, i) => `<extra_id_${safe - 1 - i}>`);
}

/** Limit of ids of added tokens. */
const MAX_ID = 2 ** 21;

/** Returns the tokens that tokenizer_config.json and added_tokens.json add. @throws {InputError} */
function declaredTokens({ config, added }: SentencePieceSettings, file: string): AddedToken[] {
  const tokens = new Map<number, AddedToken>();
  const declare = (id: number, content: unknown, settings: Config = {}) => {
    if (!(Number.isInteger(id) && id >= 0 && id < MAX_ID && typeof content === 'string' && content))
      throw new InputError(`expected a token with an id below ${MAX_ID}, found ${quote(content)}: ${id}`, {
        file,
      });
    const is = (key: string) => settings[key] === true;
    const base = addedToken(id, content, is('special'));
    const strips = { single_word: is('single_word'), lstrip: is('lstrip'), rstrip: is('rstrip') };
    tokens.set(id, { ...base, ...strips, normalized: is('normalized') });
  };
  for (const [content, id] of Object.entries(added ?? {})) declare(Number(id), content);
  const decoder = isPlainObject(config.added_tokens_decoder) ? config.added_tokens_decoder : {};
  for (const [id, token] of Object.entries(decoder))
    declare(Number(id), contentOf(token), isPlainObject(token) ? token : {});
  return [...tokens.values()];
}
