import type { Artifact } from './artifact.js';
import { judge, type Statement, show } from './verdict.js';

/** Checks an artifact's metadata for consistency, and against its content. */
export function tableStatements({ metadata, numbers }: Artifact): Statement[] {
  return [...sums(metadata), ...ratios(metadata), ...retained(metadata, numbers)];
}

type Metadata = Artifact['metadata'];

/** Groups the scalars of the metadata by the path of their object. */
function objects(metadata: Metadata): Map<string, Map<string, number | string | boolean>> {
  const found = new Map<string, Map<string, number | string | boolean>>();
  for (const [path, value] of metadata) {
    const at = path.lastIndexOf('.');
    const [parent, name] = [path.slice(0, Math.max(0, at)), path.slice(at + 1)];
    const members = found.get(parent) ?? new Map();
    found.set(parent, members.set(name, value));
  }
  return found;
}

/** Minimum number of objects with the same member that form a table. */
const MIN_ROWS = 3;

/** Returns the sums of table columns: numeric members that several objects have. */
export function columnSums(metadata: Metadata): Map<string, { readonly sum: number; readonly rows: number }> {
  const columns = new Map<string, { sum: number; rows: number }>();
  for (const members of objects(metadata).values())
    for (const [name, value] of members) {
      if (typeof value !== 'number') continue;
      const column = columns.get(name) ?? { sum: 0, rows: 0 };
      column.sum += value;
      column.rows++;
      columns.set(name, column);
    }
  return new Map([...columns].filter(([, { rows }]) => rows >= MIN_ROWS));
}

/** Compares totals with the sums of columns of a similar name. */
function sums(metadata: Metadata): Statement[] {
  const columns = columnSums(metadata);
  const named = new Map<string, string[]>();
  for (const column of columns.keys()) named.set(stem(column), [...(named.get(stem(column)) ?? []), column]);
  return [...metadata].flatMap(([path, value]) => {
    const name = path.slice(path.lastIndexOf('.') + 1);
    if (typeof value !== 'number' || columns.has(name)) return [];
    return (named.get(stem(name)) ?? []).map((column) => {
      const { sum, rows } = columns.get(column)!;
      return judge(
        sum === value,
        `${path} is ${show(value)}`,
        `${column} of ${rows} parts adds up to ${show(sum)}`,
      );
    });
  });
}

/** Normalizes a name: `original_params` and `original_parameters` are the same. */
const stem = (name: string) => name.toLowerCase().replace('parameters', 'params');

/** Maximum numbers of an object whose quotients are compared. */
const MAX_MEMBERS = 64;

/** Checks whether ratios such as `853.1:1` are the quotient of two numbers in the same object. */
function ratios(metadata: Metadata): Statement[] {
  let [right, wrong] = [0, 0];
  let example = '';
  for (const [path, members] of objects(metadata)) {
    const stated = [...members].flatMap(([name, value]) => {
      const ratio = typeof value === 'string' ? Number(/^([\d.]+):1$/.exec(value)?.[1]) : Number.NaN;
      return ratio > 0 ? [{ name, value, ratio }] : [];
    });
    const whole = [...members.values()].filter((value) => typeof value === 'number' && value > 0);
    if (!stated.length || whole.length < 2) continue;
    const few = whole.slice(0, MAX_MEMBERS).map(Number);
    const quotients = few.flatMap((a) => few.map((b) => a / b));
    // small integer counts may be off by one
    const tolerance = 0.001 + 1 / Math.min(...few);
    for (const { name, value, ratio } of stated) {
      const fits = quotients.some((quotient) => Math.abs(quotient / ratio - 1) < tolerance);
      if (fits) right++;
      else wrong++;
      if (!fits && !example) example = `; ${path}.${name} is ${value}`;
    }
  }
  if (right + wrong === 0) return [];
  return [
    judge(
      wrong === 0,
      'ratios match the numbers beside them',
      `${right} of ${right + wrong} are quotients of two numbers in the same object${example}`,
    ),
  ];
}

const KEPT = /compressed_param|retained|kept|stored|n_values|num_values|coefficients_count/i;

/** Compares the stated number of stored values of each list with the actual one. */
function retained(metadata: Metadata, numbers: Artifact['numbers']): Statement[] {
  const all = objects(metadata);
  let [claimed, found, lists] = [0, 0, 0];
  let column = '';
  for (const { name, count } of numbers) {
    const members = all.get(name.slice(0, Math.max(0, name.lastIndexOf('.'))));
    for (const [member, value] of members ?? []) {
      if (typeof value !== 'number' || !KEPT.test(member)) continue;
      claimed += value;
      found += count;
      lists++;
      column = member;
    }
  }
  if (!lists) return [];
  return [
    judge(
      claimed === found,
      `${show(claimed)} values are stored (${column}, total of ${lists} lists)`,
      `the lists have ${show(found)}`,
    ),
  ];
}
