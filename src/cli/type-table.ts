import { sumOf } from '../core/sum.js';
import { byType, type GgufTensorSummary } from '../operations/quantize/summary.js';
import { count, table } from './format.js';

/** Returns the table of a GGUF file's types: how many tensors, weights and bytes each has. */
export function typeTable(tensors: readonly Pick<GgufTensorSummary, 'type' | 'weights' | 'bytes'>[]): string {
  const line = (name: string, number: number, weights: number, bytes: number) => [
    name,
    count(number),
    count(weights),
    count(bytes),
    weights ? ((bytes * 8) / weights).toFixed(3) : '',
  ];
  return table(
    ['type', 'tensors', 'weights', 'bytes', 'bits per\nweight'],
    [
      ...byType(tensors).map((row) => line(row.type, row.tensors, row.weights, row.bytes)),
      null,
      line(
        'all',
        tensors.length,
        sumOf(tensors, ({ weights }) => weights),
        sumOf(tensors, ({ bytes }) => bytes),
      ),
    ],
  );
}
