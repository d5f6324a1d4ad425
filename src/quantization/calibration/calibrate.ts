import { createHash } from 'node:crypto';
import { elementCount } from '../../core/dtype.js';
import { InputError, isInputError } from '../../core/errors.js';
import type { Model } from '../../core/model.js';
import { sumOf } from '../../core/sum.js';
import { cutWindows } from '../../evaluation/windows.js';
import { openProgram } from '../../inference/program.js';
import { disk } from '../../io/node/disk.js';
import { claim, hold, leftoversOf, letGo, temporaryName } from '../../io/node/temporary.js';
import { nodeRuntime } from '../../onnx/node/runtime.js';
import { loadStatistics } from './load-statistics.js';
import type { StatisticsFile } from './statistics-file.js';
import '../../tokenizer/node/deadline.js';
import { loadTokenizer } from '../../tokenizer/tokenizer.js';

/** A text that tells which errors matter, and that the loss is measured on a part of. */
export interface CalibrationSource {
  /** At least some 4096 tokens; a message says how many are needed. */
  readonly text: string;
  /** The text's name in the file's quality report. */
  readonly name: string;
  /** Tokens that the statistics see; by default what a few minutes allow, from 8192 to 262144. */
  readonly tokens?: number | undefined;
  /** A file that statistics are stored in, and read again from; by default one beside the output, removed at the end. */
  readonly statisticsPath?: string | undefined;
}

/** What is measured on: tokens that the statistics have not seen. */
export interface HeldOut {
  readonly name: string;
  readonly tokens: readonly number[];
  readonly window: number;
  readonly maskToken: number | undefined;
}

export interface Calibrated {
  readonly statistics: StatisticsFile;
  /** The windows that the statistics have seen; none for masked models, which are not tuned. */
  readonly seen: readonly (readonly number[])[];
  readonly heldOut: HeldOut;
  /** Ends the reading, and removes statistics that nobody asked to keep. */
  close(): Promise<void>;
}

/** Windows are no longer than this: attention over long ones costs memory and tells little more. */
const MAX_WINDOW_TOKENS = 512;
/** Fewer tokens say too little of thousands of features. */
const MIN_TOKENS = 4096;
/** Of English, by tokenizers large and small. */
const CHARACTERS_PER_TOKEN = 3.5;
/** One window of so many is held out to measure on; no more tokens than this, nor than a quarter of those that are seen. */
const HELD_OUT_ONE_IN = 10;
const MAX_HELD_OUT_TOKENS = 16384;

/** More tokens give better statistics: 2 % less file from 65,536 to 150,000. A model of a billion parameters takes 8,192 in minutes. */
function defaultTokens(parameters: number): number {
  return Math.min(2 ** 18, Math.max(8192, Math.floor(1e12 / parameters)));
}

/** How many tokens statistics will be collected on, and quality measured on, as far as a text's length tells. */
export function expectedTokens(model: Model, { text, tokens }: CalibrationSource) {
  const inText = text.length / CHARACTERS_PER_TOKEN;
  const parameters = sumOf(model.tensors, ({ shape }) => elementCount(shape));
  const calibrationTokens = Math.min(tokens ?? defaultTokens(parameters), inText);
  const measuredTokens = Math.min(MAX_HELD_OUT_TOKENS, calibrationTokens / 4, inText / HELD_OUT_ONE_IN);
  return { calibrationTokens, measuredTokens };
}

/** A text cut into what statistics see and what quality is measured on. */
interface Split {
  readonly windows: readonly (readonly number[])[];
  readonly kind: 'causal' | 'masked';
  readonly vocabulary: number;
  readonly heldOut: HeldOut;
}

/** @throws {InputError} for a text that is too short, saying how much is needed, and a model that cannot be run. */
async function split(model: Model, { text, name, tokens }: CalibrationSource): Promise<Split> {
  const { program, tokenizer } = await openProgramAndTokenizer(model).catch((error) => {
    if (!isInputError(error)) throw error;
    throw new InputError(error.what, error.place, { cause: error, code: 'cannot-calibrate' });
  });
  const { plan, size } = program;
  const ids = tokenizer.encode(text);
  const length = Math.min(plan.context, MAX_WINDOW_TOKENS);
  const needed = Math.max(MIN_TOKENS, HELD_OUT_ONE_IN * length);
  if (ids.length < needed)
    throw new InputError(
      `the calibration text has ${ids.length} tokens, at least ${needed} are needed (about ${Math.ceil((text.length / Math.max(1, ids.length)) * needed)} characters)`,
    );
  const all = Array.from({ length: Math.floor(ids.length / length) }, (_, i) =>
    ids.slice(i * length, (i + 1) * length),
  );
  const isHeldOut = (_: unknown, i: number) => i % HELD_OUT_ONE_IN === HELD_OUT_ONE_IN - 1;
  const parameters = sumOf(model.tensors, ({ shape }) => elementCount(shape));
  const count = Math.max(1, Math.floor((tokens ?? defaultTokens(parameters)) / length));
  const heldTokens = Math.min(MAX_HELD_OUT_TOKENS, (count * length) / 4);
  const held = all.filter(isHeldOut).slice(0, Math.max(1, Math.floor(heldTokens / length)));
  return {
    windows: all.filter((window, i) => !isHeldOut(window, i)).slice(0, count),
    kind: plan.kind,
    vocabulary: size.vocabulary,
    heldOut: { name, tokens: held.flat(), window: length, maskToken: tokenizer.maskToken },
  };
}

/** What has to be known of a model to run text through it. @throws {InputError} */
async function openProgramAndTokenizer(model: Model) {
  return { program: await openProgram(model), tokenizer: await loadTokenizer(model) };
}

/** The part of a calibration text that statistics would not see, to measure on. @throws {InputError} */
export async function heldOutOf(model: Model, source: CalibrationSource): Promise<HeldOut> {
  return (await split(model, source)).heldOut;
}

/**
 * Tokenizes a text, collects a model's statistics on most of it, and holds out the rest.
 * @throws {InputError} for a text that is too short, saying how much is needed, and a model that cannot be run.
 */
export async function calibrate(
  model: Model,
  output: string,
  source: CalibrationSource,
  onProgress: (done: number, total: number) => void,
  signal?: AbortSignal,
): Promise<Calibrated> {
  const { windows, kind, vocabulary, heldOut } = await split(model, source);
  const { window: length, maskToken } = heldOut;
  const options = { kind, length, vocabulary, maskToken };
  const given = kind === 'causal' ? windows : cutWindows(windows.flat(), options);
  const sha256 = createHash('sha256').update(source.text).digest('hex');
  const collect = (path: string) =>
    loadStatistics(path, nodeRuntime, model, { sha256, windows: given }, { onProgress, signal });
  const { statistics, close } = source.statisticsPath
    ? await collectAt(source.statisticsPath, collect)
    : await collectBeside(output, collect);
  return { statistics, close, seen: kind === 'causal' ? windows : [], heldOut };
}

type Collect = (path: string) => Promise<StatisticsFile>;
type OpenStatistics = Pick<Calibrated, 'statistics' | 'close'>;

async function collectAt(path: string, collect: Collect): Promise<OpenStatistics> {
  const statistics = await collect(path);
  return { statistics, close: () => statistics.close() };
}

/** Collects statistics into a temporary file, which stays until the output is whole, and when the run is stopped: the next one begins with it. */
async function collectBeside(output: string, collect: Collect): Promise<OpenStatistics> {
  const found = await findLeftover(output, collect);
  const path = found?.path ?? temporaryName(output, ENDING);
  hold(path, true);
  try {
    const statistics = found?.statistics ?? (await collect(path));
    const close = async () => {
      await statistics.close();
      await disk.unlink(path).catch(() => {}); // it may be gone already
      letGo(path);
    };
    return { statistics, close };
  } catch (error) {
    letGo(path);
    throw error;
  }
}

/** Of temporary statistics. */
const ENDING = 'statistics';

/** What a run that was stopped has left, if it is of this model and text; what is of others stays where it is. */
async function findLeftover(output: string, collect: Collect) {
  for (const { path: left, isDead } of await leftoversOf(output, ENDING)) {
    const path = isDead && (await claim(left, output, ENDING));
    if (!path) continue;
    try {
      return { path, statistics: await collect(path) };
    } catch (error) {
      letGo(path);
      // what the system refused says nothing of the file
      if (!isInputError(error) || error.cause) throw error;
    }
  }
  return;
}
