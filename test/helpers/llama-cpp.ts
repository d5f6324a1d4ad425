import type { Llama } from 'node-llama-cpp';

/** llama.cpp itself, where it has a build for this system. */
export const llama: Llama | undefined = await import('node-llama-cpp')
  .then(({ getLlama, LlamaLogLevel }) =>
    getLlama({ gpu: false, build: 'never', progressLogs: false, logLevel: LlamaLogLevel.error }),
  )
  .catch(() => undefined);

/** What llama.cpp makes of a file: the tokens that most probably follow. */
export async function continued(path: string, prompt: number[], count: number): Promise<number[]> {
  const model = await llama!.loadModel({ modelPath: path });
  const context = await model.createContext({ contextSize: 64, threads: 1 });
  const tokens: number[] = [];
  const settings = { temperature: 0, yieldEogToken: true };
  for await (const token of context.getSequence().evaluate(prompt as never[], settings)) {
    tokens.push(token);
    if (tokens.length === count) break;
  }
  await model.dispose();
  return tokens;
}

/** Keys and values in float32, and no kernel that rounds them. */
const EXACT = {
  flashAttention: false,
  experimentalKvCacheKeyType: 'F32',
  experimentalKvCacheValueType: 'F32',
} as const;

/** Logarithms of llama.cpp's probabilities after each token, one row a token. */
export async function probabilitiesThere(
  path: string,
  prompt: number[],
  { exact = false } = {},
): Promise<Float32Array> {
  const model = await llama!.loadModel({ modelPath: path });
  const context = await model.createContext({ contextSize: 64, threads: 1, ...(exact && EXACT) });
  const asked = {
    generateNext: { probabilities: true, options: { temperature: 1, topK: 0, topP: 1, minP: 0 } },
  } as const;
  const results = await context
    .getSequence()
    .controlledEvaluate(prompt.map((token) => [token as never, asked] as const) as never[]);
  await model.dispose();
  const rows = results.map((result) => [...result!.next.probabilities!].sort(([a], [b]) => a - b));
  return Float32Array.from(rows.flat(), ([, probability]) => Math.log(probability));
}

/** llama.cpp's embedding of tokens, for a file that says how hidden states become one vector. */
export async function embeddingThere(path: string, tokens: readonly number[]): Promise<readonly number[]> {
  const model = await llama!.loadModel({ modelPath: path });
  const context = await model.createEmbeddingContext({ contextSize: 64, threads: 1, ...EXACT });
  // no further special tokens
  Object.assign(context, { _prepareInput: (input: unknown) => input });
  const { vector } = await context.getEmbeddingFor(tokens as never);
  await model.dispose();
  return vector;
}

/** The same of logits. */
export function logProbabilities(logits: Float32Array, rows: number): Float32Array {
  const columns = logits.length / rows;
  return logits.map((logit, i) => {
    const row = logits.subarray(i - (i % columns), i - (i % columns) + columns);
    return logit - Math.log(row.reduce((sum, other) => sum + Math.exp(other), 0));
  });
}
