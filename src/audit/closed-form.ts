/** A formula that gives numbers from their index. */
export interface ClosedForm {
  /** For example `1.62 exp(k (-1.455e-5 + 1.618034 i))`. */
  readonly formula: string;
  /** Degree of a polynomial: 0 for a constant, 1 for a ramp; undefined for other forms. */
  readonly degree?: number;
  /** Decay per index step of a geometric form, e^(-decay k); undefined for other forms. */
  readonly decay?: number;
  /** Largest difference between a number and the formula, relative to the largest number. */
  readonly largestError: number;
}

/** Minimum count: with fewer numbers, a formula always fits. */
export const MIN_NUMBERS = 12;
/** Minimum count of half-precision numbers, whose rounding errors are large. */
const MIN_HALVES = 64;

/** Precision of stored numbers: float64, float32, or bf16 and float16. */
export type Precision = 'double' | 'single' | 'half';

/** Largest relative difference that rounding can cause, including rounding of the fitted points. */
const TOLERANCES: Readonly<Record<Precision, number>> = { double: 1e-9, single: 1e-5, half: 2 ** -7 };
/** Numbers that vary by less than this many tolerances count as constant, because any smooth formula would fit. */
const MIN_SPREAD = 32;

/**
 * Finds a formula that gives numbers from their index: a constant, a polynomial up to degree 3, a geometric sequence or a damped
 * oscillation. @param values complex ones interleaved.
 * @returns undefined when none fits, as for trained weights.
 */
export function findClosedForm(
  values: Float64Array,
  complex: boolean,
  precision: Precision,
): ClosedForm | undefined {
  const count = complex ? values.length / 2 : values.length;
  const least = precision === 'half' ? MIN_HALVES : MIN_NUMBERS;
  if (count < least || !values.every(Number.isFinite)) return undefined;
  const tolerance = TOLERANCES[precision];
  const precise = (form: ClosedForm | undefined) =>
    form && form.largestError <= tolerance ? form : undefined;
  if (complex) return precise(exponential(values));
  const same = constant(values);
  if (same.largestError <= MIN_SPREAD * tolerance) return precise(same);
  for (const candidate of CANDIDATES) {
    const form = precise(candidate(values));
    if (form) return form;
  }
  return undefined;
}

type Fit = (values: Float64Array) => ClosedForm | undefined;

const text = (value: number) => `${Number(value.toPrecision(7))}`;

/** Returns the largest |values - formula| relative to the largest |values|. */
function deviation(values: Float64Array, formula: (k: number) => number): number {
  let [error, largest] = [0, 0];
  for (let k = 0; k < values.length; k++) {
    error = Math.max(error, Math.abs(values[k]! - formula(k)));
    largest = Math.max(largest, Math.abs(values[k]!));
  }
  return largest > 0 ? error / largest : error;
}

const constant = (values: Float64Array): ClosedForm => {
  const first = values[0]!;
  return { formula: text(first), degree: 0, largestError: deviation(values, () => first) };
};

/** Interpolates evenly spaced numbers by a polynomial in Newton's form. */
function polynomial(values: Float64Array, degree: number): ClosedForm {
  const nodes = Array.from({ length: degree + 1 }, (_, i) => Math.round((i * (values.length - 1)) / degree));
  const differences = nodes.map((k) => values[k]!);
  for (let order = 1; order < nodes.length; order++)
    for (let i = nodes.length - 1; i >= order; i--)
      differences[i] = (differences[i]! - differences[i - 1]!) / (nodes[i]! - nodes[i - order]!);
  const at = (k: number) =>
    differences.reduceRight((sum, difference, i) => difference + (k - nodes[i]!) * sum, 0);
  return {
    formula: `a polynomial of degree ${degree} in the index`,
    degree,
    largestError: deviation(values, at),
  };
}

const geometric: Fit = (values) => {
  const first = values[0]!;
  const last = values.at(-1)! / first;
  if (!(last > 0)) return undefined;
  const decay = -Math.log(last) / (values.length - 1);
  const largestError = deviation(values, (k) => first * Math.exp(-decay * k));
  return { formula: `${text(first)} exp(${text(-decay)} k)`, decay, largestError };
};

/** Fits a exp(-decay k) cos(angle k + phase), which satisfies x[k + 2] = p x[k + 1] + q x[k], by least squares in p and q. */
const oscillation: Fit = (values) => {
  let [aa, ab, bb, ac, bc] = [0, 0, 0, 0, 0];
  for (let k = 0; k + 2 < values.length; k++) {
    const [b, a, c] = [values[k]!, values[k + 1]!, values[k + 2]!];
    aa += a * a;
    ab += a * b;
    bb += b * b;
    ac += a * c;
    bc += b * c;
  }
  const determinant = aa * bb - ab * ab;
  const p = (ac * bb - bc * ab) / determinant;
  const q = (bc * aa - ac * ab) / determinant;
  if (!(q < 0)) return undefined;
  const radius = Math.sqrt(-q);
  const angle = Math.acos(Math.max(-1, Math.min(1, p / (2 * radius))));
  let [error, largest] = [0, 0];
  for (let k = 0; k + 2 < values.length; k++) {
    error = Math.max(error, Math.abs(values[k + 2]! - p * values[k + 1]! - q * values[k]!));
    largest = Math.max(largest, Math.abs(values[k]!));
  }
  const decay = -Math.log(radius);
  const formula = `an oscillation of ${text(angle)} radians a step, damped by exp(${text(-decay)} k)`;
  return { formula, decay, largestError: largest ? error / largest : error };
};

/** Fits z[0] exp(k (-decay + i angle)), from quotients of numbers at increasing distances. */
const exponential: Fit = (values) => {
  const count = values.length / 2;
  const [re, im] = [values[0]!, values[1]!];
  const logOf = (k: number) => {
    const [x, y] = [values[2 * k]!, values[2 * k + 1]!];
    return {
      decay: -Math.log(Math.hypot(x, y) / Math.hypot(re, im)) / k,
      angle: Math.atan2(y, x) - Math.atan2(im, re),
    };
  };
  let { decay, angle } = logOf(1);
  for (let k = 2; k < count; k *= 2) {
    const far = logOf(k);
    decay = far.decay;
    const turns = Math.round((angle * k - far.angle) / (2 * Math.PI));
    angle = (far.angle + 2 * Math.PI * turns) / k;
  }
  if (!Number.isFinite(decay) || !Number.isFinite(angle)) return undefined;
  angle -= 2 * Math.PI * Math.floor(angle / (2 * Math.PI));
  let [error, largest] = [0, 0];
  for (let k = 0; k < count; k++) {
    const scale = Math.exp(-decay * k);
    const [cos, sin] = [Math.cos(angle * k) * scale, Math.sin(angle * k) * scale];
    const [x, y] = [re * cos - im * sin, re * sin + im * cos];
    error = Math.max(error, Math.hypot(values[2 * k]! - x, values[2 * k + 1]! - y));
    largest = Math.max(largest, Math.hypot(values[2 * k]!, values[2 * k + 1]!));
  }
  const front = im === 0 ? (re === 1 ? '' : `${text(re)} `) : `(${text(re)} + ${text(im)} i) `;
  const formula = `${front}exp(i ${text(angle)} k) exp(${text(-decay)} k)`;
  return { formula, decay, largestError: largest ? error / largest : error };
};

/** Forms of real numbers that are not constant, simpler ones first. */
const CANDIDATES: readonly Fit[] = [
  (values) => polynomial(values, 1),
  (values) => polynomial(values, 2),
  (values) => polynomial(values, 3),
  geometric,
  oscillation,
];
