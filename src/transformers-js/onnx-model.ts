import type { ValueInfo } from '../onnx/proto.js';
import type { Feeds, Runtime, Session, Tensor } from '../onnx/runtime.js';

/** A loaded ONNX file of a whole model. */
export class OnnxModel {
  /** @param inputs of its graph. */
  constructor(
    private readonly runtime: Runtime,
    private readonly session: Session,
    private readonly inputs: readonly ValueInfo[],
  ) {}

  /** Runs a sequence of tokens, without padding and without a cache. @returns all outputs. */
  run(tokens: ArrayLike<number>): Promise<Feeds> {
    const { runtime } = this;
    const { length } = tokens;
    const sequence = (value: (i: number) => number) =>
      runtime.integers(
        Array.from({ length }, (_, i) => value(i)),
        [1, length],
      );
    const known: Readonly<Record<string, () => Tensor>> = {
      input_ids: () => sequence((i) => tokens[i]!),
      attention_mask: () => sequence(() => 1),
      position_ids: () => sequence((i) => i),
      token_type_ids: () => sequence(() => 0),
      num_logits_to_keep: () => runtime.integers([0], []),
    };
    const feeds = this.inputs.map(({ name, shape }) => [name, known[name]?.() ?? this.emptyCache(shape)]);
    return this.session.run(Object.fromEntries(feeds));
  }

  release(): Promise<void> {
    return this.session.release();
  }

  /** A batch of one, and of every other dimension that is not fixed nothing. */
  private emptyCache(shape: ValueInfo['shape']): Tensor {
    const dims = shape.map((length, axis) => (typeof length === 'number' ? length : Number(axis === 0)));
    return this.runtime.floats(new Float32Array(dims.reduce((product, length) => product * length, 1)), dims);
  }
}
