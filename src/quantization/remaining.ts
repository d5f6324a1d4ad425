/** A stage of a run, and how long it is thought to take. */
export interface Planned {
  readonly name: string;
  readonly seconds: number;
}

// Seconds on two cores a weight, or a token and weight: gpt-neo-small and a model of 1.3 B weights agree within a third.
const CALIBRATING = 7e-11;
const QUANTIZING = 2.5e-7;
const MEASURING = 3e-11;

/** What is known of a run before it begins. */
export interface Extent {
  readonly weights: number;
  /** Tokens that statistics are collected on, and that quality is measured on; 0 without calibration. */
  readonly calibrationTokens: number;
  readonly measuredTokens: number;
  readonly passes: number;
  /** Whether each pass is measured, as a search for a divergence does, or only the last. */
  readonly measuresEach: boolean;
}

/** The stages of a run that goes as runs mostly do. */
export function planStages(extent: Extent): Planned[] {
  const { weights, calibrationTokens, measuredTokens, passes, measuresEach } = extent;
  const stages = [{ name: 'calibrating', seconds: calibrationTokens * weights * CALIBRATING }];
  const measuring = { name: 'measuring', seconds: measuredTokens * weights * MEASURING };
  for (let pass = 0; pass < passes; pass++) {
    stages.push({ name: 'quantizing', seconds: weights * QUANTIZING });
    if (measuresEach || pass === passes - 1) stages.push(measuring);
  }
  return stages;
}

/** Estimates the time that all of a run still takes: what is planned, as much slower or faster as it has gone so far. */
export class Remaining {
  private readonly started = performance.now();
  private plan: readonly Planned[];
  private stage: Planned | undefined;
  private finishedSeconds = 0;

  constructor(plan: readonly Planned[]) {
    this.plan = plan;
  }

  /** The next stage of this name begins: what was planned before it is over or left out. One that is not planned takes no time. */
  begin(name: string): void {
    this.finishedSeconds += this.stage?.seconds ?? 0;
    const next = this.plan.findIndex((stage) => stage.name === name);
    this.stage = this.plan[next];
    if (next >= 0) this.plan = this.plan.slice(next + 1);
  }

  /** @param share of the stage that is done. @returns seconds; undefined as long as nothing can be told. */
  seconds(share: number): number | undefined {
    const stage = this.stage?.seconds ?? 0;
    const done = this.finishedSeconds + share * stage;
    const left = this.plan.reduce((sum, { seconds }) => sum + seconds, (1 - share) * stage);
    const elapsed = (performance.now() - this.started) / 1000;
    return done > 0 && elapsed > 1 ? (left * elapsed) / done : undefined;
  }
}
