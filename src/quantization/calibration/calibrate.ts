import { createHash } from 'node:crypto';
import { elementCount } from '../../core/dtype.js';
import { InputError, isInputError } from '../../core/errors.js';
import type { Model } from '../../core/model.js';
import { sumOf } from '../../core/sum.js';
import { sentencesOf } from '../../evaluation/embedding/sentences.js';
import { cutWindows } from '../../evaluation/windows.js';
import { isEmbeddingModel, openEmbeddingProgram } from '../../inference/embedding/program.js';
import { SentenceTokenizer } from '../../inference/embedding/tokens.js';
import { openProgram } from '../../inference/program.js';
import { disk } from '../../io/node/disk.js';
import { claim, hold, leftoversOf, letGo, temporaryName } from '../../io/node/temporary.js';
import { type Execution, inProcess, type OpenStatistics } from '../execution.js';
import type { HeldOut } from './held-out.js';
import type { TokenizedText } from './load-statistics.js';
import type { Statistics } from './statistics.js';
import '../../tokenizer/node/deadline.js';
import { loadTokenizer } from '../../tokenizer/tokenizer.js';

/** Calibration text: most of it is for collecting statistics, the rest is held out to measure the loss. */
export interface CalibrationSource {
  /** The text, at least about 4096 tokens; the error for a shorter text names the number. */
  readonly text: string;
  /** The text's name in the file's quality report. */
  readonly name: string;
  /** Number of tokens for the statistics; by default as many as take a few minutes, from 8192 to 262144. */
  readonly tokens?: number | undefined;
  /** File to store the statistics in, and to reuse them from; by default a temporary file next to the output. */
  readonly statisticsPath?: string | undefined;
}

export interface Calibrated {
  readonly statistics: Statistics;
  /** The windows used for the statistics; none for masked and embedding models, which are not tuned. */
  readonly seen: readonly (readonly number[])[];
  readonly heldOut: HeldOut;
  /** Closes the statistics, and removes them if they are in a temporary file. */
  discard(): Promise<void>;
  /** Closes the statistics, which remain for a later run. @returns the path of a temporary file. */
  leave(): Promise<string | undefined>;
}

/** Maximum tokens per window: attention over longer ones takes more memory and hardly improves the statistics. */
const MAX_WINDOW_TOKENS = 512;
/** Minimum number of tokens for the statistics: fewer are not enough for thousands of features. */
const MIN_TOKENS = 4096;
/** The same for embedding models; one of ten is held out. */
const MIN_SENTENCES = 100;
/** Typical for English text. */
const CHARACTERS_PER_TOKEN = 3.5;
/** One window of ten is held out for measuring, but at most MAX_HELD_OUT_TOKENS, and at most a quarter of the tokens for the statistics. */
const HELD_OUT_ONE_IN = 10;
const MAX_HELD_OUT_TOKENS = 16384;

/**
 * Returns the default number of tokens. More tokens give better statistics: 150,000 instead of 65,536 make the file 2 %
 * smaller. A model with a billion parameters takes minutes for 8,192.
 */
function defaultTokens(parameters: number): number {
  return Math.min(2 ** 18, Math.max(8192, Math.floor(1e12 / parameters)));
}

/** Estimates from a text's length the number of tokens for the statistics, and for measuring. */
export function expectedTokens(model: Model, { text, tokens }: CalibrationSource) {
  const inText = text.length / CHARACTERS_PER_TOKEN;
  const parameters = sumOf(model.tensors, ({ shape }) => elementCount(shape));
  const calibrationTokens = Math.min(tokens ?? defaultTokens(parameters), inText);
  const measuredTokens = Math.min(MAX_HELD_OUT_TOKENS, calibrationTokens / 4, inText / HELD_OUT_ONE_IN);
  return { calibrationTokens, measuredTokens };
}

/** A text split into a part for the statistics and a held-out part. */
interface Split {
  /** For the statistics. */
  readonly given: TokenizedText;
  /** Windows of a causal model, for tuning. */
  readonly seen: readonly (readonly number[])[];
  readonly heldOut: HeldOut;
}

/** Tokenizes and splits a text. @throws {InputError} for a text that is too short, naming the minimum, and a model that cannot be run. */
async function split(model: Model, source: CalibrationSource): Promise<Split> {
  return isEmbeddingModel(model) ? splitSentences(model, source) : splitTokens(model, source);
}

/** Converts the error of a model that cannot be run. @throws {InputError} */
function cannotCalibrate(error: unknown): never {
  if (!isInputError(error)) throw error;
  throw new InputError(error.what, error.place, { cause: error, code: 'cannot-calibrate' });
}

async function splitTokens(model: Model, { text, name, tokens }: CalibrationSource): Promise<Split> {
  const { program, tokenizer } = await openProgramAndTokenizer(model).catch(cannotCalibrate);
  const { plan } = program;
  const ids = tokenizer.encode(text);
  const length = Math.min(plan.context, MAX_WINDOW_TOKENS);
  const needed = Math.max(MIN_TOKENS, HELD_OUT_ONE_IN * length);
  if (ids.length < needed)
    throw new InputError(
      `the calibration text has ${ids.length} tokens, expected at least ${needed} (about ${Math.ceil((text.length / Math.max(1, ids.length)) * needed)} characters)`,
    );
  const { kind, vocabulary } = plan;
  const { maskToken, firstToken } = tokenizer;
  const isCausal = kind === 'causal';
  const all = Array.from({ length: Math.floor(ids.length / length) }, (_, i) => {
    const [first, ...rest] = ids.slice(i * length, (i + 1) * length);
    return [isCausal ? (firstToken ?? first!) : first!, ...rest];
  });
  const count = Math.max(1, Math.floor((tokens ?? defaultTokens(parametersOf(model))) / length));
  const heldTokens = Math.min(MAX_HELD_OUT_TOKENS, (count * length) / 4);
  const held = all.filter(isHeldOut).slice(0, Math.max(1, Math.floor(heldTokens / length)));
  const windows = all.filter((window, i) => !isHeldOut(window, i)).slice(0, count);
  return {
    given: {
      windows: isCausal ? windows : cutWindows(windows.flat(), { kind, length, vocabulary, maskToken }),
    },
    seen: isCausal ? windows : [],
    heldOut: { kind: 'tokens', name, tokens: held.flat(), window: length, maskToken },
  };
}

const isHeldOut = (_: unknown, i: number) => i % HELD_OUT_ONE_IN === HELD_OUT_ONE_IN - 1;

const parametersOf = ({ tensors }: Model) => sumOf(tensors, ({ shape }) => elementCount(shape));

async function splitSentences(model: Model, { text, name, tokens }: CalibrationSource): Promise<Split> {
  const program = await openEmbeddingProgram(model).catch(cannotCalibrate);
  const tokenizer = await SentenceTokenizer.load(program).catch(cannotCalibrate);
  const all = [...new Set(sentencesOf(text))].map((sentence) => tokenizer.encode(sentence).tokens);
  const found = sumOf(all, ({ length }) => length);
  if (found < MIN_TOKENS || all.length < MIN_SENTENCES)
    throw new InputError(
      `the calibration text has ${all.length} sentences of ${found} tokens, expected at least ${MIN_SENTENCES} sentences and ${MIN_TOKENS} tokens`,
    );
  const most = tokens ?? defaultTokens(parametersOf(model));
  const sentences = upTo(
    most,
    all.filter((sentence, i) => !isHeldOut(sentence, i)),
  );
  const held = upTo(Math.min(MAX_HELD_OUT_TOKENS, most / 4), all.filter(isHeldOut));
  const first = tokenizer.promptTokens;
  return {
    given: { sentences, first },
    seen: [],
    heldOut: { kind: 'sentences', name, sentences: held, first },
  };
}

/** Returns the first sentences with so many tokens in all, but at least two. */
function upTo(tokens: number, sentences: readonly (readonly number[])[]): (readonly number[])[] {
  let sum = 0;
  return sentences.filter(({ length }, i) => {
    sum += length;
    return sum <= tokens || i < 2;
  });
}

/** Opens the program and the tokenizer of a model. @throws {InputError} for a model that cannot be run. */
async function openProgramAndTokenizer(model: Model) {
  return { program: await openProgram(model), tokenizer: await loadTokenizer(model) };
}

/** Returns the held-out part of a calibration text. @throws {InputError} like {@link calibrate}. */
export async function heldOutOf(model: Model, source: CalibrationSource): Promise<HeldOut> {
  return (await split(model, source)).heldOut;
}

/**
 * Tokenizes a text, collects a model's statistics on most of it, and holds out the rest.
 * @throws {InputError} for a text that is too short, naming the minimum, and a model that cannot be run.
 */
export async function calibrate(
  model: Model,
  output: string,
  source: CalibrationSource,
  onProgress: (done: number, total: number) => void,
  signal?: AbortSignal,
  execution: Pick<Execution, 'statistics' | 'usesFiles'> = inProcess(),
): Promise<Calibrated> {
  const { given, seen, heldOut } = await split(model, source);
  const sha256 = createHash('sha256').update(source.text).digest('hex');
  const collect = (path: string) =>
    execution.statistics(path, model, { ...given, sha256 }, onProgress, signal);
  const { statisticsPath } = source;
  const opened =
    statisticsPath !== undefined || !execution.usesFiles
      ? await collectAt(statisticsPath ?? output, collect)
      : await collectBeside(output, collect);
  return { ...opened, seen, heldOut };
}

type Collect = (path: string) => Promise<OpenStatistics>;
type Collected = Pick<Calibrated, 'statistics' | 'discard' | 'leave'>;

async function collectAt(path: string, collect: Collect): Promise<Collected> {
  const statistics = await collect(path);
  const discard = () => statistics.close();
  return { statistics, discard, leave: () => discard().then(() => undefined) };
}

/** Collects statistics into a temporary file. It is removed when the output is complete; after an interruption it stays for the next run. */
async function collectBeside(output: string, collect: Collect): Promise<Collected> {
  const found = await findLeftover(output, collect);
  const path = found?.path ?? temporaryName(output, ENDING);
  hold(path, true);
  try {
    const statistics = found?.statistics ?? (await collect(path));
    const discard = async () => {
      await statistics.close();
      await disk.unlink(path).catch(() => {}); // it may be gone already
      letGo(path);
    };
    const leave = async () => {
      await statistics.close();
      letGo(path);
      return path;
    };
    return { statistics, discard, leave };
  } catch (error) {
    letGo(path);
    throw error;
  }
}

/** File name extension of temporary statistics. */
const ENDING = 'statistics';

/** Finds the statistics of an interrupted run with this model and text; files of others are not touched. */
async function findLeftover(output: string, collect: Collect) {
  for (const { path: left, isDead } of await leftoversOf(output, ENDING)) {
    const path = isDead && (await claim(left, output, ENDING));
    if (!path) continue;
    try {
      return { path, statistics: await collect(path) };
    } catch (error) {
      letGo(path);
      // a system error does not mean that the file is wrong
      if (!isInputError(error) || error.cause) throw error;
    }
  }
  return;
}
