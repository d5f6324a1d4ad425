import { plainLine } from '../core/plain-text.js';
import type { Progress } from '../core/progress.js';
import { isNativeMissing } from '../onnx/node/runtime.js';
import { byteUnit, count, duration } from './format.js';
import { printError, printNotice, VERBOSITY } from './terminal.js';

const MAX_COLUMNS = 80;
const MAX_BAR = 20;
const MIN_BAR = 6;
/** Time between two updates of the line. */
const UPDATE_MS = 125;

/**
 * Runs what reports progress, with one line on standard error: amounts, throughput and the time left. Nothing is shown where that is
 * not a terminal. A note takes the place of the amounts from then on. With `--verbose`, each stage is reported with its seconds.
 */
export async function withBars<Result>(
  work: (onProgress: (progress: Progress) => void, note: (text: string) => void) => Promise<Result>,
): Promise<Result> {
  let stage: Stage | undefined;
  const end = () => {
    stage?.end();
    stage = undefined;
  };
  try {
    return await work(
      (progress) => {
        if (stage?.name !== progress.stage) {
          end();
          stage = new Stage(progress.stage);
        }
        adviseRuntime(progress);
        stage.show(progress);
        if (progress.done >= progress.total) end();
      },
      (text) => {
        if (stage) stage.note = text;
      },
    );
  } finally {
    end();
  }
}

/** Time left from which a faster runtime is worth a line. */
const LONG_SECONDS = 60;
let isAdvised = false;

/** Says once, in a long run on WebAssembly, what onnxruntime-node would bring. */
function adviseRuntime({ secondsLeft = 0 }: Progress): void {
  if (isAdvised || secondsLeft <= LONG_SECONDS || !isNativeMissing()) return;
  isAdvised = true;
  printNotice(
    'running on WebAssembly; onnxruntime-node installed beside weightpress halves the time (docs/library.md)',
  );
}

class Stage {
  /** What is shown in place of the amounts. */
  note: string | undefined;
  private readonly started = performance.now();
  private shownAt = Number.NEGATIVE_INFINITY;

  constructor(readonly name: string) {}

  show(progress: Progress): void {
    if (!process.stderr.isTTY || VERBOSITY.quiet || !progress.total) return;
    const now = performance.now();
    if (now - this.shownAt < UPDATE_MS) return;
    this.shownAt = now;
    const columns = Math.min(MAX_COLUMNS, process.stderr.columns || MAX_COLUMNS) - 1;
    const line = progressLine(progress, (now - this.started) / 1000, columns, this.note);
    process.stderr.write(`\r${line}\x1b[K`);
  }

  end(): void {
    if (this.shownAt > 0) process.stderr.write('\r\x1b[K');
    if (VERBOSITY.verbose)
      printError(`${this.name}: ${((performance.now() - this.started) / 1000).toFixed(1)} s`);
  }
}

/**
 * Formats progress as `quantizing ███░░░ 12.4 of 1,316 M weights, 3.1 M/s, 6 min left`, with as much of a bar as there is room for.
 * @param seconds since the stage began. @param note shown in place of amounts and throughput.
 */
export function progressLine(
  { stage, done, total, unit, secondsLeft }: Progress,
  seconds: number,
  columns: number,
  note?: string,
): string {
  const [amounts, rate] = [amountOf(done, total, unit), rateOf(done / Math.max(seconds, 1e-3), unit)];
  const left = secondsLeft === undefined ? '' : `, ${duration(secondsLeft)} left`;
  const text = `${note ?? `${amounts}, ${rate}`}${left}`;
  const name = plainLine(stage);
  const room = Math.min(MAX_BAR, columns - name.length - text.length - 2);
  if (room < MIN_BAR) return `${name} ${text}`.slice(0, columns);
  const filled = Math.min(room, Math.round((room * done) / total));
  return `${name} ${'█'.repeat(filled)}${'░'.repeat(room - filled)} ${text}`;
}

/** Formats `12.4 of 1,316 M weights`: both numbers in the unit of the total. */
function amountOf(done: number, total: number, unit: Progress['unit']): string {
  const [divisor, name] = scaleOf(total, unit);
  const suffix = unit === 'bytes' ? name : [name, unit].filter(Boolean).join(' ');
  return `${rounded(done / divisor)} of ${rounded(total / divisor)} ${suffix}`;
}

/** Formats `3.1 M/s`, or `420 MB/s`. */
function rateOf(perSecond: number, unit: Progress['unit']): string {
  const [divisor, name] = scaleOf(perSecond, unit);
  return `${rounded(perSecond / divisor)}${name && ' '}${name}/s`;
}

/** Returns the unit that a number is printed in. Weights and tokens are counted in millions, as the sizes of models are. */
function scaleOf(number: number, unit: Progress['unit']): readonly [divisor: number, name: string] {
  return unit === 'bytes' ? byteUnit(number) : number >= 1e6 ? [1e6, 'M'] : [1, ''];
}

/** Rounds to three digits, but keeps whole numbers: `0.42`, `12.4`, `1,316`. */
function rounded(number: number): string {
  if (Number.isInteger(number) || number >= 100) return count(Math.round(number));
  return number >= 10 ? number.toFixed(1) : number.toFixed(2);
}
