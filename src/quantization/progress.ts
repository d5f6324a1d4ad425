import type { Progress } from '../core/progress.js';
import { sumOf } from '../core/sum.js';
import type { PlannedStage } from './plan.js';

/** Receives the completed and the total work of a stage, in the stage's unit. */
export type OnProgress = (done: number, total: number) => void;

/** Reports the progress of a run's stages, with the remaining time of the whole run. */
export class Stages {
  private readonly timeLeft: TimeLeft;

  constructor(
    planned: readonly PlannedStage[],
    private readonly onProgress: ((progress: Progress) => void) | undefined,
  ) {
    this.timeLeft = new TimeLeft(planned);
  }

  /** Returns the progress function of the next stage, which starts with its first call. @param detail appended to the name. */
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

/** Estimates the remaining time of a run: the planned time, scaled by the run's speed so far. */
export class TimeLeft {
  private readonly started = performance.now();
  private plan: readonly PlannedStage[];
  private stage: PlannedStage | undefined;
  private finishedSeconds = 0;

  constructor(plan: readonly PlannedStage[]) {
    this.plan = plan;
  }

  /** Starts the next stage of this name; planned stages before it are over or skipped. A stage that is not planned takes no time. */
  begin(name: string): void {
    this.finishedSeconds += this.stage?.seconds ?? 0;
    const next = this.plan.findIndex((stage) => stage.name === name);
    this.stage = this.plan[next];
    if (next >= 0) this.plan = this.plan.slice(next + 1);
  }

  /** Returns the remaining seconds; undefined if not yet known. @param share completed share of the stage. */
  seconds(share: number): number | undefined {
    const stage = this.stage?.seconds ?? 0;
    const done = this.finishedSeconds + share * stage;
    const left = (1 - share) * stage + sumOf(this.plan, ({ seconds }) => seconds);
    const elapsed = (performance.now() - this.started) / 1000;
    return done > 0 && elapsed > 1 ? (left * elapsed) / done : undefined;
  }
}
