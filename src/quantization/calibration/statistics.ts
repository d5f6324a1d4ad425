/**
 * Second moments on both sides of a matrix, per predicted token: of the inputs, and of the gradients of the outputs.
 * Inputs of a linear layer are weighted by the squared length of the gradient, because tokens without gradient do not depend on it.
 * Gradients are those of the sum of -log p(y) over predicted tokens, with y sampled from the model itself. An error E of the
 * matrix then costs about 1/2 tr(outputs E inputs E^T) nats per predicted token.
 * For an embedding model the same holds of the cosine between embeddings, per sentence, with gradients along random directions of the
 * embedding, summed over the tokens of a sentence.
 */
export interface TensorMoments {
  readonly kind: 'linear' | 'embedding' | 'head' | 'experts';
  /**
   * [in, in], symmetric: E[|g|^2 x x^T] / E[|g|^2] of a linear layer, E[x x^T] of a head; E[g g^T] over the hidden features of an embedding.
   * Of a tensor with the matrices of all experts, their mean over its columns, [columns, columns].
   * Or only the diagonal, [in] or [columns], of statistics that another program collected.
   */
  readonly inputs: Float32Array;
  /**
   * [out, out], symmetric: E[g g^T], or [out], only the diagonal; for a head [vocabulary]: E[p (1 - p)]; for an embedding [rows]: frequency of each row; for experts
   * [experts x rows]: what an error in each row costs.
   */
  readonly outputs: Float32Array;
  /** True if the matrix is stored [in, out], as in GPT-2. */
  readonly transposed: boolean;
}

/** Calibration statistics of a model. */
export interface Statistics {
  /** Number of tokens of the calibration. */
  readonly tokens: number;
  /**
   * Returns the statistics of a tensor by its name in the checkpoint: none if it is not a matrix of the forward pass, two for a tied
   * embedding (head first). Arrays may be shared between tensors and calls; do not change them.
   * @throws {IntegrityError} when the file is damaged.
   */
  tensor(name: string): Promise<readonly TensorMoments[]>;
}

/** Receives the statistics of each tensor; twice for a tied embedding. Arrays may be shared between tensors. */
export interface StatisticsSink {
  add(tensor: string, statistics: TensorMoments): Promise<void>;
}
