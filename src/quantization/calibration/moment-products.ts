import { Graph, type Value } from '../../onnx/graph.js';
import { type Feeds, floatsOf, type Runtime, type Session, type Tensor } from '../../onnx/runtime.js';
import type { Moment, MomentForm } from './backward-graph.js';

/** Products of a batch's values that second moments are sums of. */
export class MomentProducts {
  private readonly sessions = new Map<MomentForm, Promise<Session>>();

  constructor(readonly runtime: Runtime) {}

  /** Adds the moment of one batch to `before`. @param after receives the sum, [size, size]. */
  async add(
    { form, size, values }: Moment,
    of: Feeds,
    before: Float32Array,
    after: Float32Array,
  ): Promise<void> {
    if (!this.sessions.has(form)) this.sessions.set(form, this.runtime.session(graphOf(form)));
    const session = await this.sessions.get(form)!;
    const square = (sum: Float32Array) => this.runtime.floats(sum, [size, size]);
    const [value, by] = values.map((name) => this.byTokens(of[name]!));
    await session.run({ value: value!, ...(by && { by }), before: square(before) }, { after: square(after) });
  }

  async release(): Promise<void> {
    for (const session of this.sessions.values()) await (await session).release();
  }

  /** Returns values as [batch, sequence, size]; those of positions, or of an expert's tokens, have fewer axes. */
  private byTokens(tensor: Tensor): Tensor {
    const { dims } = tensor;
    return dims.length === 3 ? tensor : this.runtime.floats(floatsOf(tensor), [1, ...dims]);
  }
}

function graphOf(form: MomentForm): Uint8Array {
  const g = new Graph('moment');
  const value = g.input('value', ['batch', 'sequence', 'size']);
  const rows = factors(g, form, value).map((factor) => g.operation('Flatten', [factor], { axis: 2 }));
  const before = g.input('before', ['size', 'size']);
  g.output('after', g.operation('Gemm', [...rows, before], { transA: 1 }), ['size', 'size']);
  return g.encode();
}

/** Returns two values whose product, transposed(a) b over all tokens, is the moment. */
function factors(g: Graph, form: MomentForm, value: Value): [Value, Value] {
  if (form === 'plain') return [value, value];
  const by = g.input('by', ['batch', 'sequence', 'width']);
  if (form === 'sentence') return [value, g.matmul(g.matmulTransposed(by, by), value)];
  const lengths = g.operation('ReduceL2', [by, g.integers([-1])], { keepdims: 1 });
  const weighted = g.multiply(value, lengths);
  return [weighted, weighted];
}
