/** Second moments of what goes into a matrix, and of the gradients of what comes out: means over tokens. */
export interface TensorStatistics {
  readonly kind: 'linear' | 'embedding' | 'head';
  /** [in, in], symmetric: E[x x^T] of a linear layer or head; of an embedding, E[g g^T] over the hidden features it gives. */
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
  /** By the checkpoint's name: none for a tensor that is no matrix of the forward pass, two for a tied embedding. */
  tensor(name: string): Promise<readonly TensorStatistics[]>;
}
