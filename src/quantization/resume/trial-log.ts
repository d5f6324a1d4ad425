import { InputError, isInputError } from '../../core/errors.js';
import { isPlainObject } from '../../core/json.js';
import { readBytes } from '../../io/node/file.js';
import { Output } from '../../io/node/output.js';
import { claim, leftoversOf, letGo } from '../../io/node/temporary.js';
import { decodeLine, type Entry, encodeLine, isEntry } from './entries.js';

/** File name extension. */
const ENDING = 'trials';

/**
 * The finished operations of a search, in a file next to the output. The search decides from their results alone, so a later run that
 * is given the same results makes the same decisions. The file exists from the first operation on; it remains after an interruption.
 */
export class TrialLog {
  private out: Output | undefined;
  /** Entries of an interrupted run that are not yet recalled. */
  private recorded: RecordedEntry[] = [];
  /** Offset in the file behind the last entry that counts. */
  private end = 0;

  private constructor(
    private readonly output: string,
    private readonly identity: string,
  ) {}

  /** Starts an empty log. @param identity of everything that results depend on. */
  static create(output: string, identity: string): TrialLog {
    return new TrialLog(output, identity);
  }

  /**
   * Takes over the log of an interrupted run on this machine by renaming it, so that no two runs continue the same one; starts an
   * empty one if there is none.
   * @throws {InputError} when all that were left have another identity.
   */
  static async resume(output: string, identity: string): Promise<TrialLog> {
    let refused: unknown;
    for (const { path, isDead } of await leftoversOf(output, ENDING)) {
      try {
        if (isDead) await readLog(path, identity); // before it is renamed: that of another run stays as it is
        const own = isDead && (await claim(path, output, ENDING));
        if (own) return await TrialLog.open(output, identity, own);
      } catch (error) {
        if (!isInputError(error)) throw error;
        if (error.code === 'resume-differs') refused = error; // otherwise another run has just taken it
      }
    }
    if (refused) throw refused;
    return TrialLog.create(output, identity);
  }

  /** Opens a log that this run has taken over. */
  private static async open(output: string, identity: string, own: string): Promise<TrialLog> {
    try {
      const log = new TrialLog(output, identity);
      const { start, entries } = await readLog(own, identity);
      [log.recorded, log.end] = [entries, start];
      log.out = await Output.resume(output, own, entries.at(-1)?.end ?? start, { resumable: true });
      return log;
    } catch (error) {
      letGo(own);
      throw error;
    }
  }

  /** Whether it was an interrupted run's, before anything is added. */
  get isTakenOver(): boolean {
    return this.out !== undefined;
  }

  /** Whether entries of an interrupted run are left to recall. */
  get hasRecorded(): boolean {
    return this.recorded.length > 0;
  }

  /** Returns the next recorded entry if it is of this kind and step. Otherwise the rest of the record is of no use, and dropped. */
  recall<Kind extends Entry['kind']>(kind: Kind, step?: number): Extract<Entry, { kind: Kind }> | undefined {
    const { entry, end } = this.recorded.shift() ?? {};
    if (entry?.kind === kind && (step === undefined || ('step' in entry && entry.step === step))) {
      this.end = end!;
      return entry as Extract<Entry, { kind: Kind }>;
    }
    this.recorded = [];
    return undefined;
  }

  /** Appends an entry. @throws {InputError} when it cannot be written. */
  async add(entry: Entry): Promise<void> {
    this.out ??= await Output.create(this.output, { resumable: true, ending: ENDING });
    if (this.out.length > this.end) await this.out.truncate(this.end);
    const lines = this.end ? [entry] : [{ identity: this.identity }, entry];
    await this.out.write(Buffer.concat(lines.map(encodeLine)));
    await this.out.flush();
    this.end = this.out.length;
  }

  /** Closes the file, which remains. @returns its path; undefined before the first entry. */
  async leave(): Promise<string | undefined> {
    if (!this.end) await this.discard();
    else await this.out?.close();
    return this.end ? this.out?.partial : undefined;
  }

  /** Removes the file. */
  async discard(): Promise<void> {
    await this.out?.discard();
  }
}

interface RecordedEntry {
  readonly entry: Entry;
  /** Offset in the file behind it. */
  readonly end: number;
}

/**
 * Reads a log up to the first line that is incomplete or damaged. @returns its entries, and where the first of them starts.
 * @throws {InputError} when it is of another run.
 */
async function readLog(path: string, identity: string): Promise<{ start: number; entries: RecordedEntry[] }> {
  const bytes = await readBytes(path);
  const lines = linesOf(bytes);
  const first = lines.next().value;
  const header = first?.value;
  if (!first || !isPlainObject(header)) return { start: 0, entries: [] };
  if (header.identity !== identity)
    throw new InputError(
      'was begun from another model or with other options',
      { file: path },
      { code: 'resume-differs' },
    );
  const entries: RecordedEntry[] = [];
  for (const { value, end } of lines) {
    if (!isEntry(value)) break;
    entries.push({ entry: value, end });
  }
  return { start: first.end, entries };
}

function* linesOf(bytes: Buffer): Generator<{ readonly value: unknown; readonly end: number }> {
  for (let start = 0; ; ) {
    const stop = bytes.indexOf('\n', start);
    if (stop < 0) return;
    yield { value: decodeLine(bytes.toString('utf8', start, stop)), end: stop + 1 };
    start = stop + 1;
  }
}
