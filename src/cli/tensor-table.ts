import { plainLine } from '../core/plain-text.js';
import { table } from './format.js';

/** What `--tensors` prints of every tensor. */
interface Listed {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly sameAs?: string | undefined;
}

/**
 * Formats a table of tensors with name, dtype, shape and further columns, given as headings and functions. A dtype that all tensors share
 * is printed above the table, and duplicates are printed below it, each under the tensor that is stored.
 */
export function tensorTable<T extends Listed>(
  tensors: readonly T[],
  columns: Readonly<Record<string, (tensor: T) => string>>,
): string {
  const stored = tensors.filter(({ sameAs }) => sameAs === undefined);
  const dtypes = new Set(tensors.map(({ dtype }) => dtype));
  const isMixed = dtypes.size > 1;
  const rows = stored.map((tensor) => [
    tensor.name,
    ...(isMixed ? [tensor.dtype] : []),
    tensor.shape.join('x') || 'scalar',
    ...Object.values(columns).map((cell) => cell(tensor)),
  ]);
  const head = ['tensor', ...(isMixed ? ['dtype'] : []), 'shape', ...Object.keys(columns)];
  const align = head.map((title) => (title === 'tensor' || title === 'dtype' ? 'left' : 'right'));
  return [
    ...(dtypes.size === 1 ? [`dtype of all tensors: ${plainLine(tensors[0]!.dtype)}\n`] : []),
    table(head, rows, align),
    ...duplicates(tensors),
  ].join('\n');
}

/** Lists duplicate tensors, indented under the tensor they are stored with. */
function duplicates(tensors: readonly Listed[]): string[] {
  const groups = new Map<string, string[]>();
  for (const { name, sameAs } of tensors)
    if (sameAs !== undefined) groups.set(sameAs, [...(groups.get(sameAs) ?? []), name]);
  return [...groups].flatMap(([stored, names]) => [
    `\nidentical to ${plainLine(stored)}:`,
    ...names.map((name) => `  ${plainLine(name)}`),
  ]);
}
