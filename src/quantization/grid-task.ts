import { readFloats } from '../core/floats.js';
import type { Model, TensorInfo } from '../core/model.js';
import { transposed } from '../core/transposed.js';
import type { GridFormat } from '../grids/format.js';
import type { Statistics } from './calibration/statistics.js';
import type { GridTask } from './grid-quantizer.js';
import { ownMemory } from './jobs.js';
import { momentsOf } from './moments.js';

/** Returns the task to quantize a tensor of two dimensions. @param isTransposed whether codes have rows where the tensor has columns. */
export function gridTask(
  model: Model,
  statistics: Statistics | undefined,
  tensor: TensorInfo,
  format: GridFormat,
  isTransposed: boolean,
): GridTask {
  const { name, shape } = tensor;
  const [rows, columns] = shape as [number, number];
  return async () => {
    const weights = ownMemory(await readFloats(model, tensor));
    const moments = await momentsOf(statistics, name, weights, { rows, columns, stack: 1 });
    const job = {
      name,
      rows,
      columns,
      weights,
      format,
      rowMoments: moments.rows,
      columnMoments: moments.columns,
    };
    if (!isTransposed) return job;
    return {
      ...job,
      rows: columns,
      columns: rows,
      weights: transposed(weights, rows, columns),
      rowMoments: moments.columns,
      columnMoments: moments.rows,
    };
  };
}
