import { basename } from 'node:path';
import { readText } from '../io/node/file.js';
import { readTextOrInput, STANDARD_INPUT } from '../io/node/standard-input.js';
import type { CalibrationSource } from '../quantization/calibration/calibrate.js';

const DEFAULT_TEXT = new URL('../../assets/calibration.txt', import.meta.url);

/** Reads a calibration text, `-` from standard input; by default the one that comes with weightpress. @throws {InputError} when it cannot be read. */
export async function readCalibrationText(path?: string): Promise<Pick<CalibrationSource, 'text' | 'name'>> {
  if (path === undefined)
    return { text: await readText(DEFAULT_TEXT), name: 'held out of the default calibration text' };
  const name = path === STANDARD_INPUT ? 'standard input' : basename(path);
  return { text: await readTextOrInput(path), name: `held out of ${name}` };
}

/** Calibration text. A held-out part of it is used to measure the loss. */
export interface CalibrationOptions extends Partial<CalibrationSource> {}

/** Returns the calibration of a lossy file, by default the text that comes with weightpress; undefined for `false`. */
export async function calibrationSource(
  options: CalibrationOptions | false = {},
): Promise<CalibrationSource | undefined> {
  if (options === false) return undefined;
  const own = options.text === undefined ? await readCalibrationText() : { text: '', name: 'a text' };
  return { ...own, ...given(options) };
}

/** Returns the options that are not undefined. */
function given<Options extends object>(options: Options) {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as {
    [Key in keyof Options]: Exclude<Options[Key], undefined>;
  };
}
