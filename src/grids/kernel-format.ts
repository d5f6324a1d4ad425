import type { KernelFormat } from '../wasm/grids.js';
import type { GridFormat, Range } from './format.js';

/** Codes of float16 scales and minimums: see `ownUnit`. */
const OWN: Range = { low: -2047, high: 2047 };
/** A float16 has more digits than a scale needs: neighbors are tried at a distance of about a hundredth. */
const OWN_STEP = 8;

/** Units per the largest weight that shares them, where scales and minimums may have any value. */
export const FINE_UNITS = 2 ** 20;
const FINE: Range = { low: -4 * FINE_UNITS, high: 4 * FINE_UNITS };

/** Shares of a group's range, tried as the range of its codes: the fewer levels there are, the more it pays to cut off the largest weights. */
const SHARES = [
  { levels: 8, shares: [1, 0.87, 0.74, 0.6] },
  { levels: 16, shares: [1, 0.92, 0.84, 0.75] },
  { levels: 32, shares: [1, 0.95, 0.9, 0.8] },
  { levels: 256, shares: [1, 0.98, 0.95, 0.9] },
] as const;

/** Returns a format as the kernel knows it. @param isFine for scales and minimums of any value, in fine units. */
export function kernelFormat(format: GridFormat, isFine: boolean): KernelFormat {
  const { group, levels, scales, minimums } = format;
  const hasOwn = scales === 'float16';
  const scaleRange = isFine ? FINE : hasOwn ? OWN : scales;
  return {
    group,
    levels,
    minimumKind: minimumKindOf(format),
    scaleRange: [minimums ? Math.max(0, scaleRange.low) : scaleRange.low, scaleRange.high],
    minimumRange: minimumRange(format, isFine),
    scaleStep: hasOwn && !isFine ? OWN_STEP : 1,
    shares: SHARES.find((own) => levels.length <= own.levels)!.shares,
  };
}

/** Returns the range of minimum codes in units; undefined where minimums have none: there are none, or they are zero points. */
export function minimumRangeOf({ minimums }: GridFormat): Range | 'float16' | undefined {
  return minimums === 'float16' || (minimums && 'low' in minimums) ? minimums : undefined;
}

function minimumKindOf(format: GridFormat): KernelFormat['minimumKind'] {
  if (!format.minimums) return 'none';
  return minimumRangeOf(format) ? 'units' : 'steps';
}

function minimumRange({ minimums }: GridFormat, isFine: boolean): readonly [number, number] {
  if (!minimums) return [0, 0];
  if (minimums === 'float16') return isFine ? [FINE.low, FINE.high] : [OWN.low, OWN.high];
  if ('zeroPoints' in minimums) return [minimums.zeroPoints.low, minimums.zeroPoints.high];
  return isFine ? [minimums.low && FINE.low, FINE.high] : [minimums.low, minimums.high];
}
