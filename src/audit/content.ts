import { deflateSync } from 'fflate';
import { concatenate } from '../core/bytes.js';
import type { Artifact, Numbers } from './artifact.js';
import { type ClosedForm, findClosedForm, MIN_NUMBERS, type Precision } from './closed-form.js';
import { findGenerator } from './generators.js';
import { contradicted, type Statement, show, supported } from './verdict.js';

/** What numbers an artifact holds. */
export interface Content {
  /** Complex ones counted once. */
  readonly numbers: number;
  readonly lists: number;
  readonly longest: number;
  readonly kinds: readonly string[];
  /** Different values among those that were looked at. */
  readonly distinct: number;
  readonly examined: number;
  /** What DEFLATE makes of them, as a share of doubles for doubles and of float32 for all others. */
  readonly deflated: number;
  readonly forms: readonly { readonly list: Numbers; readonly form: ClosedForm }[];
  /** Lists that are long enough for a form to mean something. */
  readonly fittable: number;
}

/** Numbers that are compressed to see how much they repeat. */
const MAX_DEFLATED_BYTES = 2 ** 22;

/** Examines all numbers of an artifact. */
export function examine({ numbers }: Artifact): Content {
  const distinct = new Set<number>();
  let examined = 0;
  const kept: Uint8Array[] = [];
  let cachedBytes = 0;
  for (const { values, complex, kind } of numbers) {
    examined += complex ? values.length / 2 : values.length;
    if (distinct.size < MAX_DISTINCT) for (const value of values) distinct.add(value);
    if (cachedBytes < MAX_DEFLATED_BYTES) {
      const stored = precisionOf(kind) === 'double' ? values : Float32Array.from(values);
      kept.push(new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength));
      cachedBytes += stored.byteLength;
    }
  }
  const long = numbers.filter(({ count }) => count >= MIN_NUMBERS);
  return {
    numbers: numbers.reduce((sum, { count }) => sum + count, 0),
    lists: numbers.length,
    longest: numbers.reduce((most, { count }) => Math.max(most, count), 0),
    kinds: [...new Set(numbers.map(({ kind }) => kind))],
    distinct: distinct.size,
    examined,
    deflated: cachedBytes ? deflateSync(concatenate(kept)).length / cachedBytes : 1,
    fittable: long.length,
    forms: long.flatMap((list) => {
      const form = findClosedForm(list.values, list.complex, precisionOf(list.kind)) ?? drawn(list);
      return form ? [{ list, form }] : [];
    }),
  };
}

/** Numbers that a seed gives say as little as those that an index gives. */
function drawn({ values, complex }: Numbers): ClosedForm | undefined {
  const generator = complex ? undefined : findGenerator(values);
  return generator ? { formula: `what ${generator} draws`, largestError: 0 } : undefined;
}

const MAX_DISTINCT = 5_000_000;

/** Of numbers as they are looked at: a model's doubles are read as float32. */
function precisionOf(kind: string): Precision {
  if (/^(B?F16|float16)$/.test(kind)) return 'half';
  return /^(F32|F64|float32|complex64)$/.test(kind) ? 'single' : 'double';
}

/** What of that speaks for or against an artifact being made of weights. */
export function contentStatements(artifact: Artifact, content: Content): Statement[] {
  const { numbers, lists, longest, kinds, distinct, examined, deflated } = content;
  const { fileBytes, kind, sampled } = artifact;
  const held = supported(
    `the file holds ${show(numbers)} numbers`,
    `${lists} lists of at most ${show(longest)} (${kinds.join(', ')}) in a ${kind} of ${show(fileBytes)} bytes; ${sampled ? `of ${show(examined)} looked at, ` : ''}${show(distinct)} different values; DEFLATE leaves ${show(deflated * 100)} %`,
  );
  return [held, ...formStatements(artifact, content)];
}

/** Lists that are a formula. Those that may well be are left out: norms and biases begin as ones and zeros, and indices count. */
function formStatements(artifact: Artifact, { numbers, forms, fittable }: Content): Statement[] {
  const formulas = forms.filter(({ list, form }) => (form.degree ?? 2) > (/int/.test(list.kind) ? 1 : 0));
  const [first] = formulas;
  if (!first) return [];
  const worst = formulas.reduce((most, { form }) => Math.max(most, form.largestError), 0);
  const count = formulas.reduce((sum, { list }) => sum + list.count, 0);
  const lists = fittable - (forms.length - formulas.length);
  const because = `${formulas.length} of ${lists} lists of ${MIN_NUMBERS} numbers or more are a function of their index or of a seed, to ${show(worst)} of their largest: ${first.list.name} is ${first.form.formula}${namedRate(artifact, first)}`;
  return formulas.length > lists / 2 || count > numbers / 2
    ? [contradicted('the numbers were computed from weights', because)]
    : [supported(`${show(count)} of the numbers follow from a formula`, because)];
}

/** Where a rate of decay is one over a number that the file states beside the list: that the formula's last unknown is known too. */
function namedRate({ says }: Artifact, { list, form }: { list: Numbers; form: ClosedForm }): string {
  if (!form.decay) return '';
  const parent = list.name.slice(0, list.name.lastIndexOf('.') + 1);
  for (const [path, value] of says)
    if (path.startsWith(parent) && typeof value === 'number' && Math.abs(form.decay * value - 1) < 1e-6)
      return `, where ${show(value)} is ${JSON.stringify(path.slice(parent.length))} beside it`;
  return '';
}
