/**
 * Second moments on both sides of a matrix: of what goes in, and of the gradients of what comes out, per predicted token.
 * What goes into a linear layer counts as much as its gradient: a token at which nothing depends on the layer says nothing of it.
 * Gradients are those of the sum of -log p(y) over predicted tokens, y drawn from the model itself. So an error E of the
 * matrix costs about 1/2 tr(outputs E inputs E^T) nats per predicted token.
 */
export interface TensorStatistics {
  readonly kind: 'linear' | 'embedding' | 'head';
  /** [in, in], symmetric: E[|g|^2 x x^T] / E[|g|^2] of a linear layer, E[x x^T] of a head; of an embedding, E[g g^T] over the hidden features it gives. */
  readonly inputs: Float32Array;
  /** [out, out], symmetric: E[g g^T]; for a head [vocabulary] E[p (1 - p)]; for an embedding [rows] how often a row is used. */
  readonly outputs: Float32Array;
  /** True when the matrix is stored [in, out], as GPT-2 does. */
  readonly transposed: boolean;
}

/** What calibration found for each matrix of a model. */
export interface Statistics {
  /** Tokens that were seen. */
  readonly tokens: number;
  /**
   * By the checkpoint's name: none for a tensor that is no matrix of the forward pass, two for a tied embedding (head first).
   * Arrays may be shared between tensors and calls and must stay as they are.
   * @throws {IntegrityError} when they come from a damaged file.
   */
  tensor(name: string): Promise<readonly TensorStatistics[]>;
}

/** Takes what was found for a tensor: twice for a tied embedding. Matrices that tensors share are the same array. */
export interface StatisticsSink {
  add(tensor: string, statistics: TensorStatistics): Promise<void>;
}
