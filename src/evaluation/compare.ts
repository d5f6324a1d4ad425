import { equal } from '../codecs/lossless/patterns.js';
import { InputError } from '../core/errors.js';
import { widenerOf } from '../core/floats.js';
import type { Model, TensorInfo } from '../core/model.js';
import { sumOf } from '../core/sum.js';

/** The error of one tensor. */
export interface TensorError {
  /** The tensor's name. */
  readonly tensor: string;
  /** Sum of squared differences over the sum of squares. */
  readonly relativeSquaredError: number;
}

/** How a lossy file's weights differ from the original's. */
export interface WeightError {
  /** Number of tensors with any difference. */
  readonly differing: number;
  /** Sum of squared differences over the sum of squares, of all weights stored by a lossy codec; rounded and exact tensors are not included. */
  readonly relativeSquaredError: number;
  /** The tensor with the largest error; undefined if none differs. */
  readonly worst: TensorError | undefined;
}

/** Compares decoded elements of a file with those of another model. */
export class Comparison {
  private readonly errors: { readonly tensor: string; readonly error: number; readonly power: number }[] = [];

  constructor(private readonly against: Model) {}

  /** Returns a message for each tensor that only one side has, or that differs in dtype or shape. */
  listProblems(tensors: readonly Pick<TensorInfo, 'name' | 'dtype' | 'shape'>[]): string[] {
    const others = new Map(this.against.tensors.map((tensor) => [tensor.name, tensor]));
    const problems: string[] = [];
    const report = (tensor: string, what: string) => problems.push(new InputError(what, { tensor }).message);
    for (const { name, dtype, shape } of tensors) {
      const other = others.get(name);
      others.delete(name);
      if (!other) report(name, 'is not in the other model');
      else if (other.dtype !== dtype || other.shape.join() !== shape.join())
        report(name, `is ${dtype} [${shape}] here and ${other.dtype} [${other.shape}] in the other model`);
    }
    for (const name of others.keys()) report(name, 'is only in the other model');
    return problems;
  }

  /** Returns functions that compare a tensor block by block. */
  tensor({ name, dtype }: Pick<TensorInfo, 'name' | 'dtype'>) {
    const known = this.against.tensors.some((tensor) => tensor.name === name);
    let same = true;
    let [error, power] = [0, 0];
    const add = async (elements: Uint8Array, firstByte: number, lossy: boolean) => {
      if (!known || (!same && !lossy)) return;
      const others = await this.against.readTensor(name, firstByte, firstByte + elements.length);
      if (equal(elements, others) && !lossy) return;
      same = same && equal(elements, others);
      if (!lossy) return;
      const widen = widenerOf(this.against, name, dtype);
      [error, power] = addSquares(widen(elements), widen(others), error, power);
    };
    /** Returns the relative squared error so far. */
    const relativeError = () => relative(error, power);
    const finish = () => {
      if (!same) this.errors.push({ tensor: name, error, power });
      return same;
    };
    return { add, finish, error: relativeError };
  }

  weightError(): WeightError {
    const sum = (key: 'error' | 'power') => sumOf(this.errors, (entry) => entry[key]);
    const shares = this.errors.map(({ tensor, error, power }) => ({
      tensor,
      relativeSquaredError: relative(error, power),
    }));
    return {
      differing: this.errors.length,
      relativeSquaredError: relative(sum('error'), sum('power')),
      worst: shares.sort((a, b) => b.relativeSquaredError - a.relativeSquaredError)[0],
    };
  }
}

function relative(error: number, power: number): number {
  return error === 0 ? 0 : error / power;
}

/** Adds squared differences to `error` and squares of the originals to `power`: in local variables, which is ten times as fast. */
function addSquares(
  ours: Float32Array,
  theirs: Float32Array,
  error: number,
  power: number,
): [error: number, power: number] {
  let [errors, powers] = [error, power];
  for (let i = 0; i < ours.length; i++) {
    const original = theirs[i]!;
    const difference = ours[i]! - original;
    errors += difference * difference;
    powers += original * original;
  }
  return [errors, powers];
}
