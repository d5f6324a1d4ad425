import type { Artifact } from './artifact.js';
import { judge, type Statement, show } from './verdict.js';

/** Statements of an artifact's metadata about itself, checked against each other and against what it holds. */
export function tableStatements({ says, numbers }: Artifact): Statement[] {
  return [...sums(says), ...ratios(says), ...retained(says, numbers)];
}

type Says = Artifact['says'];

/** Objects of the metadata: their scalars, by the path of the object. */
function objects(says: Says): Map<string, Map<string, number | string | boolean>> {
  const found = new Map<string, Map<string, number | string | boolean>>();
  for (const [path, value] of says) {
    const at = path.lastIndexOf('.');
    const [parent, name] = [path.slice(0, Math.max(0, at)), path.slice(at + 1)];
    const members = found.get(parent) ?? new Map();
    found.set(parent, members.set(name, value));
  }
  return found;
}

/** Fewer objects with the same member are no table. */
const MIN_ROWS = 3;

/** Sums over objects that have the same numeric member: the columns of a table. */
export function columnSums(says: Says): Map<string, { readonly sum: number; readonly rows: number }> {
  const columns = new Map<string, { sum: number; rows: number }>();
  for (const members of objects(says).values())
    for (const [name, value] of members) {
      if (typeof value !== 'number') continue;
      const column = columns.get(name) ?? { sum: 0, rows: 0 };
      column.sum += value;
      column.rows++;
      columns.set(name, column);
    }
  return new Map([...columns].filter(([, { rows }]) => rows >= MIN_ROWS));
}

/** A total that a column of a similar name adds up to, or not. */
function sums(says: Says): Statement[] {
  const columns = columnSums(says);
  const named = new Map<string, string[]>();
  for (const column of columns.keys()) named.set(stem(column), [...(named.get(stem(column)) ?? []), column]);
  return [...says].flatMap(([path, value]) => {
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

/** `original_params` and `original_parameters` are the same word. */
const stem = (name: string) => name.toLowerCase().replace('parameters', 'params');

/** Numbers of one object whose quotients are looked at. */
const MAX_MEMBERS = 64;

/** A ratio such as `853.1:1` beside two numbers whose quotient it is, or not. Those of tables are summed up. */
function ratios(says: Says): Statement[] {
  let [right, wrong] = [0, 0];
  let example = '';
  for (const [path, members] of objects(says)) {
    const stated = [...members].flatMap(([name, value]) => {
      const ratio = typeof value === 'string' ? Number(/^([\d.]+):1$/.exec(value)?.[1]) : Number.NaN;
      return ratio > 0 ? [{ name, value, ratio }] : [];
    });
    const whole = [...members.values()].filter((value) => typeof value === 'number' && value > 0);
    if (!stated.length || whole.length < 2) continue;
    const few = whole.slice(0, MAX_MEMBERS).map(Number);
    const quotients = few.flatMap((a) => few.map((b) => a / b));
    // small counts are whole: one value more or less is the same ratio
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
      'ratios are those of the numbers beside them',
      `${right} of ${right + wrong} are quotients of two numbers in the same object${example}`,
    ),
  ];
}

const KEPT = /compressed_param|retained|kept|stored|n_values|num_values|coefficients_count/i;

/** How many values are said to be kept of each list, and how many are there. */
function retained(says: Says, numbers: Artifact['numbers']): Statement[] {
  const all = objects(says);
  let [claimed, held, lists] = [0, 0, 0];
  let column = '';
  for (const { name, count } of numbers) {
    const members = all.get(name.slice(0, Math.max(0, name.lastIndexOf('.'))));
    for (const [member, value] of members ?? []) {
      if (typeof value !== 'number' || !KEPT.test(member)) continue;
      claimed += value;
      held += count;
      lists++;
      column = member;
    }
  }
  if (!lists) return [];
  return [
    judge(
      claimed === held,
      `${show(claimed)} values are kept (${column}, ${lists} lists together)`,
      `the lists hold ${show(held)}`,
    ),
  ];
}
