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
