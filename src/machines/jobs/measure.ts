import { runPasses } from '../../evaluation/passes.js';
import type { Scores } from '../../evaluation/score.js';
import type { Window } from '../../evaluation/windows.js';
import { openProgram } from '../../inference/program.js';
import { openSource } from '../../open/formats.js';
import type { Packed } from '../../stores/checked.js';
import { openStoredFile, type StoredFile } from '../../stores/content.js';
import type { Result } from '../results.js';
import type { Work } from '../workplace.js';

/** Windows of held-out text to measure a candidate on. */
export interface MeasureData {
  /** Key of the original. */
  readonly model: string;
  /** The .wpk file. */
  readonly candidate: StoredFile;
  readonly windows: readonly StoredWindow[];
}

/** A window as JSON can hold it. */
export interface StoredWindow {
  readonly input: readonly number[];
  readonly rows: readonly number[];
  readonly targets: readonly number[];
}

/** Returns a window as JSON can hold it. */
export function storedWindow({ input, rows, targets }: Window): StoredWindow {
  return { input: [...input], rows, targets: [...targets] };
}

/** Measures a candidate against the original: values of every predicted token. Memory holds one layer of each, or both heads. */
export async function runMeasure({ model, candidate, windows }: MeasureData, work: Work): Promise<Result> {
  const { place, onProgress } = work;
  const source = await openStoredFile(place.store, candidate);
  const compressed = await openSource(`${candidate.name}.wpk`, source, {});
  try {
    const program = await openProgram(compressed);
    const reference = await openProgram(await place.model(model));
    const given = windows.map(({ input, rows, targets }) => ({
      input: Int32Array.from(input),
      rows,
      targets: Int32Array.from(targets),
    }));
    const passes = { model: program, reference, stored: undefined, saved: undefined };
    const { nll, comparison } = await runPasses(place.runtime, passes, given, {
      onProgress: ({ done, total }) => onProgress?.(done / total),
    });
    const { referenceNll, kl, agrees } = comparison!;
    return { header: {}, arrays: [nll, referenceNll, kl, agrees] };
  } finally {
    await compressed.close();
  }
}

/** Joins the scores of several jobs, in the order of their windows. */
export function scoresOf(results: readonly Packed[]): Scores {
  const [nll, referenceNll, kl, agrees] = [0, 1, 2, 3].map((i) =>
    Float64Array.from(results.flatMap(({ arrays }) => [...(arrays[i] as Float64Array)])),
  );
  return { nll: nll!, comparison: { referenceNll: referenceNll!, kl: kl!, agrees: agrees! } };
}
