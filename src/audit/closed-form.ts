/** Numbers that follow from their index alone. */
export interface ClosedForm {
  /** Such as `1.62 exp(k (-1.455e-5 + 1.618034 i))`. */
  readonly formula: string;
  /** Decay of a geometric form for each step of the index, e^(-decay k), where there is one. */
  readonly decay?: number;
  /** The largest difference between a number and the formula, as a share of the largest number. */
  readonly largestError: number;
}

/** Fewer numbers than this fit anything. */
export const LEAST_NUMBERS = 12;
/** Of doubles; single-precision numbers are given to 2^-24. */
const EXACT = 1e-9;
const EXACT_SINGLE = 1e-5;

/**
 * Tries to write numbers as a function of their index: constants, polynomials to degree 3, and geometric or exponential forms, damped
 * oscillations among them. @param values interleaved when complex. @param single of values that are rounded to float32 or less.
 * @returns undefined when none fits, as for any weights that were trained.
 */
export function findClosedForm(
  values: Float64Array,
  complex: boolean,
  single: boolean,
): ClosedForm | undefined {
  const count = complex ? values.length / 2 : values.length;
  if (count < LEAST_NUMBERS || !values.every(Number.isFinite)) return undefined;
  const tolerance = single ? EXACT_SINGLE : EXACT;
  const candidates = complex ? [exponential] : [constant, polynomial, geometric, oscillation];
  for (const candidate of candidates) {
    const form = candidate(values);
    if (form && form.largestError <= tolerance) return form;
  }
  return undefined;
}

type Fit = (values: Float64Array) => ClosedForm | undefined;

const text = (value: number) => `${Number(value.toPrecision(7))}`;

/** The largest |values - formula| over the largest |values|. */
function deviation(values: Float64Array, formula: (k: number) => number): number {
  let [error, largest] = [0, 0];
  for (let k = 0; k < values.length; k++) {
    error = Math.max(error, Math.abs(values[k]! - formula(k)));
    largest = Math.max(largest, Math.abs(values[k]!));
  }
  return largest > 0 ? error / largest : error;
}

const constant: Fit = (values) => {
  const first = values[0]!;
  return { formula: text(first), largestError: deviation(values, () => first) };
};

/** Newton's form through four numbers spread over all. */
const polynomial: Fit = (values) => {
  const last = values.length - 1;
  const nodes = [0, Math.round(last / 3), Math.round((2 * last) / 3), last];
  const differences = nodes.map((k) => values[k]!);
  for (let order = 1; order < nodes.length; order++)
    for (let i = nodes.length - 1; i >= order; i--)
      differences[i] = (differences[i]! - differences[i - 1]!) / (nodes[i]! - nodes[i - order]!);
  const at = (k: number) =>
    differences.reduceRight((sum, difference, i) => difference + (k - nodes[i]!) * sum, 0);
  const degree = differences.findLastIndex(
    (difference) => Math.abs(difference) > 1e-12 * Math.abs(differences[0]! || 1),
  );
  return {
    formula: `a polynomial of degree ${Math.max(0, degree)} in the index`,
    largestError: deviation(values, at),
  };
};

const geometric: Fit = (values) => {
  const first = values[0]!;
  const last = values.at(-1)! / first;
  if (!(last > 0)) return undefined;
  const decay = -Math.log(last) / (values.length - 1);
  const largestError = deviation(values, (k) => first * Math.exp(-decay * k));
  return { formula: `${text(first)} exp(${text(-decay)} k)`, decay, largestError };
};

/** a exp(-decay k) cos(angle k + phase): what x[k + 2] = p x[k + 1] + q x[k] gives, p and q by least squares. */
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

/** z[0] exp(k (-decay + i angle)): the quotient of neighbours, made more precise by ever more distant ones. */
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
