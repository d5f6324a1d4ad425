import type { Quality } from '../../evaluation/report.js';
import type { Candidate } from '../candidate.js';
import type { Pipeline } from '../pipeline.js';
import type { RateSample } from '../rate-control/rate-samples.js';
import type { Candidates } from '../search.js';
import { type Entry, packCounts, unpackCounts, type WritingEntry } from './entries.js';
import type { TrialLog } from './trial-log.js';

/** An operation that writes the candidate, and what the ones after it need of it. */
type Writing = Extract<Entry, { kind: 'write' }>;

/**
 * Records the operations of a search, and recalls those that an interrupted run has finished, with what they returned. What a recalled
 * operation would have left, the candidate's file and the learned prices, is restored when the first other operation needs it.
 */
export class ResumableCandidates implements Candidates {
  /** Recalled operations that wrote the candidate, from the last trial on, whose file is not there yet. */
  private missing: WritingEntry[] = [];

  constructor(
    private readonly pipeline: Pipeline,
    private readonly candidate: Candidate,
    private readonly log: TrialLog,
  ) {}

  get canTune(): boolean {
    return this.pipeline.canTune;
  }

  async write(step: number) {
    this.skip();
    const known = this.log.recall('write', step);
    if (known) {
      this.missing = [known];
      return { step, counts: unpackCounts(known.passes.at(-1)!) };
    }
    const { counts, passes } = await this.pipeline.write(step);
    await this.wrote({
      kind: 'write',
      step,
      passes: passes.map(packCounts),
      frames: this.candidate.written!,
    });
    return { step, counts };
  }

  async sample(step: number): Promise<RateSample> {
    this.skip();
    const known = this.log.recall('sample', step);
    if (known) {
      const { bits, weights } = known;
      const sample = { step, bits, weights, counts: unpackCounts(known.passes[0]!) };
      this.pipeline.recallSample(sample);
      return sample;
    }
    const sample = await this.pipeline.sample(step);
    const { bits, weights, counts } = sample;
    await this.log.add({ kind: 'sample', step, bits, weights, passes: [packCounts(counts)] });
    return sample;
  }

  async size(): Promise<number> {
    const known = this.log.recall('size');
    if (known) return known.bytes;
    await this.restore();
    const bytes = await this.pipeline.size();
    await this.log.add({ kind: 'size', bytes });
    return bytes;
  }

  async measure(): Promise<Quality | undefined> {
    const known = this.log.recall('measure');
    if (known) return known.quality ?? undefined;
    await this.restore();
    const quality = await this.pipeline.measure();
    await this.log.add({ kind: 'measure', quality: quality ?? null });
    return quality;
  }

  tune(): Promise<void> {
    return this.rewrite('tune');
  }

  untune(): Promise<void> {
    return this.rewrite('untune');
  }

  async writeLossless(): Promise<void> {
    this.skip();
    const known = this.log.recall('writeLossless');
    if (known) {
      this.missing = [known];
      return;
    }
    await this.pipeline.writeLossless();
    await this.wrote({ kind: 'writeLossless', frames: this.candidate.written! });
  }

  /** Stores the quality in the candidate and moves it to its final name; see {@link Pipeline.finish}. */
  async finish(quality: Quality | undefined): Promise<number> {
    await this.restore();
    return this.pipeline.finish(quality);
  }

  /** Writes the candidate again from the indices of the last trial. */
  private async rewrite(kind: 'tune' | 'untune'): Promise<void> {
    const known = this.log.recall(kind);
    if (known) {
      this.missing.push(known);
      return;
    }
    await this.repeat();
    await this.pipeline[kind]();
    await this.wrote({ kind, frames: this.candidate.written! });
  }

  private async wrote(entry: WritingEntry): Promise<void> {
    await this.log.add(entry);
    this.candidate.keep();
  }

  /** Restores the last candidate: from the file that was left, or by repeating what wrote it, as tuning needs its indices. */
  private async restore(): Promise<void> {
    const last = this.missing.at(-1);
    if (!last) return;
    if (!this.canTune && (await this.candidate.restore(last.frames))) this.skip();
    else await this.repeat();
    this.candidate.keep();
  }

  /** Repeats what wrote the last candidate, of which the pipeline then has the indices too. */
  private async repeat(): Promise<void> {
    const repeated = this.missing;
    this.missing = [];
    for (const entry of repeated)
      await (entry.kind === 'write' ? this.pipeline.write(entry.step) : this.pipeline[entry.kind]());
  }

  /** Learns from the last recalled trial without repeating it. */
  private skip(): void {
    const trial = this.missing.find((entry): entry is Writing => entry.kind === 'write');
    if (trial) this.pipeline.recall(trial.step, trial.passes.map(unpackCounts));
    this.missing = [];
  }
}
