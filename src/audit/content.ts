import { deflateSync } from 'fflate';
import { concatenate } from '../core/bytes.js';
import { sumOf } from '../core/sum.js';
import type { Artifact, Numbers } from './artifact.js';
import { type ClosedForm, findClosedForm, MIN_NUMBERS, type Precision } from './closed-form.js';
import { findGenerator } from './generators.js';
import { contradicted, type Statement, show, supported } from './verdict.js';

/** Properties of the numbers in an artifact. */
export interface Content {
  /** Number of all numbers, complex ones counted once. */
  readonly numbers: number;
  readonly lists: number;
  readonly longest: number;
  readonly kinds: readonly string[];
  /** Number of distinct values among the examined ones. */
  readonly distinct: number;
  readonly examined: number;
  /** Size after DEFLATE, relative to float64 for doubles and float32 for all others. */
  readonly deflated: number;
  readonly forms: readonly { readonly list: Numbers; readonly form: ClosedForm }[];
  /** Number of lists that are long enough to fit a formula. */
  readonly fittable: number;
}

/** Maximum bytes compressed with DEFLATE. */
const MAX_DEFLATED_BYTES = 2 ** 22;

/** Examines all numbers of an artifact. */
export function examine({ numbers }: Artifact): Content {
  const distinct = new Set<number>();
  let examined = 0;
  const sample: Uint8Array[] = [];
  let sampleBytes = 0;
  for (const { values, complex, kind } of numbers) {
    examined += complex ? values.length / 2 : values.length;
    if (distinct.size < MAX_DISTINCT) for (const value of values) distinct.add(value);
    if (sampleBytes < MAX_DEFLATED_BYTES) {
      const stored = precisionOf(kind) === 'double' ? values : Float32Array.from(values);
      sample.push(new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength));
      sampleBytes += stored.byteLength;
    }
  }
  const long = numbers.filter(({ count }) => count >= MIN_NUMBERS);
  return {
    numbers: sumOf(numbers, ({ count }) => count),
    lists: numbers.length,
    longest: numbers.reduce((max, { count }) => Math.max(max, count), 0),
    kinds: [...new Set(numbers.map(({ kind }) => kind))],
    distinct: distinct.size,
    examined,
    deflated: sampleBytes ? deflateSync(concatenate(sample)).length / sampleBytes : 1,
    fittable: long.length,
    forms: long.flatMap((list) => {
      const form = findClosedForm(list.values, list.complex, precisionOf(list.kind)) ?? generated(list);
      return form ? [{ list, form }] : [];
    }),
  };
}

/** Returns the random generator that draws these numbers, as a formula; they carry as little information as one of the index. */
function generated({ values, complex }: Numbers): ClosedForm | undefined {
  const generator = complex ? undefined : findGenerator(values);
  return generator ? { formula: `the output of ${generator}`, largestError: 0 } : undefined;
}

const MAX_DISTINCT = 5_000_000;

/** Returns the precision of examined numbers. A model's doubles (F64) are read as float32. */
function precisionOf(kind: string): Precision {
  if (/^(B?F16|float16)$/.test(kind)) return 'half';
  return /^(F32|F64|float32|complex64)$/.test(kind) ? 'single' : 'double';
}

/** Returns statements about whether an artifact's numbers can be derived from weights. */
export function contentStatements(artifact: Artifact, content: Content): Statement[] {
  const { numbers, lists, longest, kinds, distinct, examined, deflated } = content;
  const { fileBytes, kind, sampled } = artifact;
  const overview = supported(
    `the file holds ${show(numbers)} numbers`,
    `${lists} lists of at most ${show(longest)} (${kinds.join(', ')}) in ${kind === 'onnx' ? 'an' : 'a'} ${kind} of ${show(fileBytes)} bytes; ${sampled ? `of ${show(examined)} examined, ` : ''}${show(distinct)} distinct values; DEFLATE leaves ${show(deflated * 100)} %`,
  );
  return [overview, ...formStatements(artifact, content)];
}

/** Returns statements about lists that a formula gives. Constants and integer ramps do not count: norms, biases and indices may be such. */
function formStatements(artifact: Artifact, { numbers, forms, fittable }: Content): Statement[] {
  const formulas = forms.filter(({ list, form }) => (form.degree ?? 2) > (/int/.test(list.kind) ? 1 : 0));
  const [first] = formulas;
  if (!first) return [];
  const worst = formulas.reduce((max, { form }) => Math.max(max, form.largestError), 0);
  const count = sumOf(formulas, ({ list }) => list.count);
  const lists = fittable - (forms.length - formulas.length);
  const because = `${formulas.length} of ${lists} lists of at least ${MIN_NUMBERS} numbers are a function of their index or a seed, with relative error up to ${show(worst)}: ${first.list.name} is ${first.form.formula}${namedRate(artifact, first)}`;
  return formulas.length > lists / 2 || count > numbers / 2
    ? [contradicted('the numbers were computed from weights', because)]
    : [supported(`${show(count)} of the numbers follow from a formula`, because)];
}

/** Returns a note if the formula's decay is the reciprocal of a number in the metadata beside the list. */
function namedRate({ metadata }: Artifact, { list, form }: { list: Numbers; form: ClosedForm }): string {
  if (!form.decay) return '';
  const parent = list.name.slice(0, list.name.lastIndexOf('.') + 1);
  for (const [path, value] of metadata)
    if (path.startsWith(parent) && typeof value === 'number' && Math.abs(form.decay * value - 1) < 1e-6)
      return `, where ${show(value)} is ${JSON.stringify(path.slice(parent.length))} beside it`;
  return '';
}
