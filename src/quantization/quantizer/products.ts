import { Graph } from '../../onnx/graph.js';
import { MICROSOFT } from '../../onnx/proto.js';
import { floatsOf, type Runtime, type Session } from '../../onnx/runtime.js';

/** Large matrix products, of row-major float32 matrices. */
export class Products {
  private readonly sessions = new Map<string, Promise<Session>>();

  constructor(private readonly runtime: Runtime) {}

  /** Computes transposed(a) b, [m, n], from a [k, m] and b [k, n]. */
  async transposedTimes(
    a: Float32Array,
    b: Float32Array,
    k: number,
    m: number,
    n: number,
  ): Promise<Float32Array> {
    return this.run({ transA: 1 }, [a, [k, m]], [b, [k, n]]);
  }

  /** Computes a transposed(b), [m, n], from a [m, k] and b [n, k]. */
  async timesTransposed(
    a: Float32Array,
    b: Float32Array,
    m: number,
    k: number,
    n: number,
  ): Promise<Float32Array> {
    return this.run({ transB: 1 }, [a, [m, k]], [b, [n, k]]);
  }

  /** Computes a b, [m, n], from a [m, k] and b [k, n]. */
  async times(a: Float32Array, b: Float32Array, m: number, k: number, n: number): Promise<Float32Array> {
    return this.run({}, [a, [m, k]], [b, [k, n]]);
  }

  private async run(
    attributes: Readonly<Record<string, number>>,
    a: readonly [Float32Array, readonly number[]],
    b: readonly [Float32Array, readonly number[]],
  ): Promise<Float32Array> {
    const key = Object.keys(attributes).join();
    if (!this.sessions.has(key)) this.sessions.set(key, this.runtime.session(productGraph(attributes)));
    const session = await this.sessions.get(key)!;
    const { product } = await session.run({ a: this.runtime.floats(...a), b: this.runtime.floats(...b) });
    return floatsOf(product);
  }
}

function productGraph(attributes: Readonly<Record<string, number>>): Uint8Array {
  const g = new Graph('product');
  const product = g.operation(
    'FusedMatMul',
    [g.input('a', ['m', 'k']), g.input('b', ['k', 'n'])],
    { alpha: { float: 1 }, ...attributes },
    MICROSOFT,
  );
  g.output('product', product, ['m', 'n']);
  return g.encode();
}
