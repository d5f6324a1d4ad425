import { basename } from 'node:path';
import { readText } from '../io/node/file.js';
import type { CalibrationSource } from '../quantization/calibration/calibrate.js';

const DEFAULT_TEXT = new URL('../../assets/calibration.txt', import.meta.url);

/** Reads a calibration text; by default the one that comes with weightpress. @throws {InputError} when it cannot be read. */
export async function readCalibrationText(path?: string): Promise<Pick<CalibrationSource, 'text' | 'name'>> {
  return {
    text: await readText(path ?? DEFAULT_TEXT),
    name: `held out of ${path === undefined ? 'the default calibration text' : basename(path)}`,
  };
}
