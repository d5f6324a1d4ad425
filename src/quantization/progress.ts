import type { Progress } from '../core/progress.js';
import { sumOf } from '../core/sum.js';
import type { PlannedStage } from './plan.js';

/** Takes the work done and all work of a stage, in the stage's unit. */
export type OnProgress = (done: number, total: number) => void;

/** Reports the stages of a run, with the time that all of it still takes. */
export class Stages {
  private readonly timeLeft: TimeLeft;

  constructor(
    planned: readonly PlannedStage[],
    private readonly onProgress: ((progress: Progress) => void) | undefined,
  ) {
    this.timeLeft = new TimeLeft(planned);
  }

  /** Returns what takes the progress of the next stage, which begins with the first call. @param detail is added to the name. */
  begin(name: string, unit: Progress['unit'], detail?: string): OnProgress {
    const stage = detail ? `${name}, ${detail}` : name;
    let begun = false;
    return (done, total) => {
      if (!begun) this.timeLeft.begin(name);
      begun = true;
      this.onProgress?.({ stage, done, total, unit, secondsLeft: this.timeLeft.seconds(done / total) });
    };
  }
}

/** Estimates the time that all of a run still takes: what is planned, as much slower or faster as it has gone so far. */
export class TimeLeft {
  private readonly started = performance.now();
  private plan: readonly PlannedStage[];
  private stage: PlannedStage | undefined;
  private finishedSeconds = 0;

  constructor(plan: readonly PlannedStage[]) {
    this.plan = plan;
  }

  /** The next stage of this name begins: what was planned before it is over or left out. One that is not planned takes no time. */
  begin(name: string): void {
    this.finishedSeconds += this.stage?.seconds ?? 0;
    const next = this.plan.findIndex((stage) => stage.name === name);
    this.stage = this.plan[next];
    if (next >= 0) this.plan = this.plan.slice(next + 1);
  }

  /** Returns seconds; undefined as long as nothing can be told. @param share of the stage that is done. */
  seconds(share: number): number | undefined {
    const stage = this.stage?.seconds ?? 0;
    const done = this.finishedSeconds + share * stage;
    const left = (1 - share) * stage + sumOf(this.plan, ({ seconds }) => seconds);
    const elapsed = (performance.now() - this.started) / 1000;
    return done > 0 && elapsed > 1 ? (left * elapsed) / done : undefined;
  }
}
