import type { ForwardPlan } from '../../architectures/forward.js';
import { FULL, SLIDING } from '../../architectures/layers.js';
import { InputError } from '../../core/errors.js';
import { quote } from '../../core/json.js';
import type { GgufFamily } from './family.js';
import type { GgufEntry } from './header-writer.js';
import type { Get } from './keys.js';

const WINDOW = 'attention.sliding_window';
const PATTERN = 'attention.sliding_window_pattern';

/** Returns whether a layer has a window, where all but one in `period` layers do. */
function slides(layer: number, period: number, first: boolean): boolean {
  if (period === 0) return true;
  return first ? layer % period !== 0 : (layer + 1) % period !== 0;
}

/**
 * Converts the windows of a model's layers to metadata.
 * @throws {InputError} when they do not repeat as in llama.cpp.
 */
export function writeWindows({ architecture, windows }: GgufFamily, { positions }: ForwardPlan): GgufEntry[] {
  const sizes = new Set(positions.flatMap(({ window }) => window ?? []));
  if (!windows || sizes.size === 0) return [];
  const { period: usual, first = false } = windows;
  const periods = [usual, ...Array.from({ length: positions.length }, (_, i) => i + 2), 0];
  const period = periods.find((one) =>
    positions.every(({ window }, layer) => (window !== undefined) === slides(layer, one, first)),
  );
  if (period === undefined || sizes.size > 1)
    throw new InputError(
      `config.json: llama.cpp has windows in all but one of a number of layers, found ${quote(positions.map(({ window }) => window ?? 0))} (layer_types, sliding_window)`,
    );
  const [window] = sizes;
  const entries: GgufEntry[] = [
    { key: `${architecture}.${WINDOW}`, type: 'uint32', value: first ? 2 * (window! - 1) : window! },
  ];
  if (period !== usual) entries.push({ key: `${architecture}.${PATTERN}`, type: 'uint32', value: period });
  return entries;
}

/** Converts the windows in the metadata to `sliding_window`, or the family's field, and `layer_types`. @throws {InputError} */
export function readWindows(
  { windows }: GgufFamily,
  get: Get,
  layers: number,
  file: string,
): Record<string, unknown> {
  if (!windows) return {};
  const window = get(WINDOW) ?? windows.size ?? 0;
  const given = get(PATTERN);
  // llama.cpp ignores a list
  const period = given === undefined || Array.isArray(given) ? windows.period : given;
  for (const value of [window, period])
    if (!(Number.isSafeInteger(value) && (value as number) >= 0))
      throw new InputError(`${WINDOW}: expected an integer, found ${quote(value)}`, { file });
  const types = Array.from({ length: layers }, (_, layer) =>
    window !== 0 && slides(layer, period as number, windows.first ?? false) ? SLIDING : FULL,
  );
  const own = window === 0 ? {} : { [windows.field ?? 'sliding_window']: window };
  return { ...own, layer_types: types };
}
