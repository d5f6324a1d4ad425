import { readdir, readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { sumOf } from '../../core/sum.js';
import { holdWeights } from '../held.js';
import {
  createRuntime,
  type Feeds,
  floatsOf,
  type NodeRuntime,
  type OnnxRuntime,
  type Session,
} from '../runtime.js';

/** The part of onnxruntime-web that is used: its copy in dist/onnxruntime, made by scripts/runtime.js. */
interface OnnxRuntimeWeb extends OnnxRuntime {
  readonly env: { readonly wasm: { numThreads: number; wasmPaths: Record<'mjs' | 'wasm', string> } };
}

/** Threads by default; more are not faster. In Deno, one in six runs on two threads never ended. */
const MAX_THREADS = 'Deno' in globalThis ? 1 : 8;
/** Weights beyond this are passed to each run instead: WebAssembly has 4 GiB for weights and results together. */
const MAX_HELD_BYTES = 2 ** 31;

/** Loads onnxruntime's WebAssembly, which comes with this package. Its threads start with the first session. */
export async function loadWasm(
  threads = Math.min(MAX_THREADS, availableParallelism()),
): Promise<NodeRuntime> {
  const place = (name: string) => new URL(`../../onnxruntime/${name}`, import.meta.url).href;
  const ort: OnnxRuntimeWeb = await import(place('index.js'));
  const loader = 'ort-wasm-simd-threaded';
  Object.assign(ort.env.wasm, {
    numThreads: threads,
    wasmPaths: { mjs: place(`${loader}.mjs`), wasm: place(`${loader}.wasm`) },
  });
  const options = {
    executionProviders: ['wasm'],
    logSeverityLevel: 3,
    // products on two threads take 0.6 of the time on one; with spinning 1.1 (2 cores)
    extra: { session: { intra_op: { allow_spinning: '0' } } },
  };
  const plain = createRuntime(ort, options);
  let heldBytes = 0;
  return {
    ...plain,
    file: async (path) => {
      const externalData = await dataFilesOf(path);
      return copying(await ort.InferenceSession.create(await readFile(path), { ...options, externalData }));
    },
    session: async (model) => copying(await plain.session(model)),
    hold: async (graph, weights) => {
      const bytes = sumOf(Object.values(weights), (tensor) => floatsOf(tensor).byteLength);
      if (heldBytes + bytes > MAX_HELD_BYTES) {
        const session = copying(await plain.session(graph.encode()));
        return { ...session, run: (feeds, into) => session.run({ ...weights, ...feeds }, into) };
      }
      const session = await holdWeights(ort, options, graph, weights);
      heldBytes += bytes;
      const release = async () => {
        heldBytes -= bytes;
        await session.release();
      };
      return { ...copying(session), release };
    },
  };
}

/** Reads the files of an ONNX file's external data: those whose names begin with its own. */
async function dataFilesOf(path: string) {
  const [folder, name] = [dirname(path), basename(path)];
  const names = (await readdir(folder)).filter((file) => file.startsWith(`${name}_data`));
  return Promise.all(names.map(async (file) => ({ path: file, data: await readFile(join(folder, file)) })));
}

/** Wraps a session so that it writes to the tensors it is asked to write to: onnxruntime-web returns them as they were. */
function copying(session: Session): Session {
  return {
    run: async (feeds, into) => {
      if (!into) return session.run(feeds);
      const results = await session.run(feeds, Object.keys(into) as unknown as Feeds);
      const given = Object.entries(into).flatMap(([name, tensor]) =>
        tensor ? [[name, tensor] as const] : [],
      );
      for (const [name, tensor] of given) floatsOf(tensor).set(floatsOf(results[name]));
      return { ...results, ...Object.fromEntries(given) };
    },
    release: () => session.release(),
  };
}
