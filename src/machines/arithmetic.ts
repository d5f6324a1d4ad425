import { createHash } from 'node:crypto';
import { normalNumbers } from '../core/random.js';
import { VERSION } from '../core/version.js';
import { Graph } from '../onnx/graph.js';
import { loadedRuntime, loadRuntime } from '../onnx/node/runtime.js';
import { floatsOf, type Runtime } from '../onnx/runtime.js';
import type { Identity } from '../queue/job.js';

/** Extents that no kernel divides evenly, so that their edges are computed too. */
const [ROWS, INNER, COLUMNS] = [67, 515, 131] as const;

/**
 * Returns what this process's results depend on: the version of this program, and how it computes. Processors with other instructions add
 * in another order, and so round otherwise; the digest of a few computations tells them apart.
 */
export async function identityOfProcess(): Promise<Identity> {
  const runtime = await loadRuntime(1);
  const hash = createHash('sha256')
    .update(await runtimeSample(runtime))
    .update(mathSample());
  return { version: VERSION, arithmetic: `${loadedRuntime()} ${hash.digest('hex').slice(0, 12)}` };
}

/** Computes what models compute: products, sums and transcendental functions, in float32. */
async function runtimeSample(runtime: Runtime): Promise<Uint8Array> {
  const g = new Graph('arithmetic');
  const [a, b] = [g.input('a', [ROWS, INNER]), g.input('b', [INNER, COLUMNS])];
  const product = g.matmul(a, b);
  const sums = g.operation('ReduceL2', [a, g.integers([-1])], { keepdims: 1 });
  const functions = ['Tanh', 'Erf', 'Sigmoid', 'Exp'].map((name) => g.operation(name, [product]));
  const moment = g.operation('Gemm', [product, product], { transA: 1 });
  const outputs = [product, g.softmax(product), g.multiply(product, sums), moment, ...functions];
  for (const [i, output] of outputs.entries()) g.output(`${i}`, output, undefined);
  const random = normalNumbers(1);
  const matrix = (rows: number, columns: number) =>
    runtime.floats(
      Float32Array.from({ length: rows * columns }, () => random() / 16),
      [rows, columns],
    );
  const session = await runtime.session(g.encode());
  const results = await session.run({ a: matrix(ROWS, INNER), b: matrix(INNER, COLUMNS) });
  const hash = createHash('sha256');
  for (const i of outputs.keys()) {
    const { buffer, byteOffset, byteLength } = floatsOf(results[`${i}`]);
    hash.update(new Uint8Array(buffer, byteOffset, byteLength));
  }
  await session.release();
  return hash.digest();
}

/** Computes the functions of this JavaScript engine that results depend on. */
function mathSample(): Uint8Array {
  const random = normalNumbers(2);
  const values = Array.from({ length: 1000 }, () => 4 * random());
  const found = [Math.exp, Math.log2, Math.log, Math.tanh, Math.sin, Math.cos].flatMap((of) =>
    values.map((value) => of(of === Math.log || of === Math.log2 ? Math.abs(value) : value)),
  );
  return new Uint8Array(Float64Array.from(found).buffer);
}
