import { exactKind } from '../architectures/exact.js';
import { elementCount } from '../core/dtype.js';
import type { Config } from '../core/json.js';
import type { Model } from '../core/model.js';
import { isEmbeddingModel, openEmbeddingProgram } from '../inference/embedding/program.js';
import { openProgram } from '../inference/program.js';
import type { ElementType, External, ValueInfo } from '../onnx/proto.js';
import { buildModel } from './build.js';
import { BLOCK, type Encoding, type OnnxDtype, SUFFIXES } from './encoding.js';
import { ModelGraph, type StoredWeight, type Usage } from './model-graph.js';
import { bytesOf, type FindCodes, type WeightSource, weightSources } from './weights.js';

/** A file whose bytes are made when they are read. */
export interface MadeFile {
  /** Relative to the model's folder, its parts separated by `/`. */
  readonly name: string;
  readonly lengthBytes: number;
  /** Yields its bytes. @throws {InputError} for weights that do not decode. */
  chunks(signal?: AbortSignal): AsyncIterable<Uint8Array>;
}

/** The ONNX files of a model in one dtype. */
export interface GraphFiles {
  /** The graph, then its external data. */
  readonly files: readonly MadeFile[];
  /** The matrices stored as codes, and their bits. */
  readonly quantized: readonly StoredWeight[];
  /** Tensors of the model by the names of the graph's weights. */
  readonly sources: ReadonlyMap<string, WeightSource>;
  /** Inputs of the graph. */
  readonly inputs: readonly ValueInfo[];
}

/** How {@link makeOnnxFiles} works. */
export interface OnnxFileOptions {
  readonly dtype: OnnxDtype;
  /** Codes of matrices that were quantized with statistics; all others are rounded. */
  readonly findCodes?: FindCodes | undefined;
  /** Bytes of a data file after which another one begins. */
  readonly maxDataBytes?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Below 2 GiB, the most that a page or a protocol buffer holds in one piece. */
const MAX_DATA_BYTES = 2_000_000_000;
const ALIGNMENT = 64;
const TYPE_BYTES: Readonly<Record<ElementType, number>> = { float32: 4, uint8: 1, int64: 8, float16: 2 };

/**
 * Makes a model's graph and its external data as transformers.js loads them, `onnx/model*.onnx` and `onnx/model*.onnx_data`. Weights are
 * read when the data is.
 * @throws {InputError} for a model that cannot be run, and one whose graph depends on the length of its input.
 */
export async function makeOnnxFiles(given: Model, options: OnnxFileOptions): Promise<GraphFiles> {
  const { dtype, findCodes, maxDataBytes = MAX_DATA_BYTES, signal } = options;
  const { model, graph, sources } = await graphOf(given, dtype, signal);
  const name = `model${SUFFIXES[dtype]}.onnx`;
  const { externals, data } = layOut(graph.storedWeights, `${name}_data`, maxDataBytes);
  const encoded = graph.toFile(externals);
  return {
    quantized: graph.storedWeights.filter(({ encoding }) => 'bits' in encoding),
    sources,
    inputs: graph.modelInputs,
    files: [
      {
        name: `onnx/${name}`,
        lengthBytes: encoded.length,
        async *chunks() {
          yield encoded;
        },
      },
      ...data.map(({ location, lengthBytes, weights }) => ({
        name: `onnx/${location}`,
        lengthBytes,
        async *chunks(signal?: AbortSignal) {
          for (const weight of weights) {
            let length = 0;
            for await (const bytes of bytesOf(model, weight, sources.get(weight.name)!, findCodes, signal)) {
              length += bytes.length;
              yield bytes;
            }
            yield new Uint8Array(aligned(length) - length);
          }
        },
      })),
    ],
  };
}

async function graphOf(given: Model, dtype: OnnxDtype, signal?: AbortSignal) {
  const graph = new ModelGraph('model', encodingFor(dtype, given.config));
  if (isEmbeddingModel(given)) {
    const program = await openEmbeddingProgram(given, signal);
    const { model, plan, modules, sentences } = program;
    buildModel(graph, plan, modules);
    return { model, graph, sources: weightSources(program, sentences, modules) };
  }
  const program = await openProgram(given, signal);
  buildModel(graph, program.plan);
  return { model: program.model, graph, sources: weightSources(program, program.head) };
}

/** Matrices smaller than this are not worth their scales. */
const MIN_ELEMENTS = 1024;

/** Returns how a weight is stored: matrices and tables as codes, all else, and what is never quantized, as floats. */
function encodingFor(dtype: OnnxDtype, config: Config | undefined) {
  return (name: string, shape: readonly number[], usage: Usage): Encoding => {
    if (dtype === 'fp32') return { float: 32 };
    if (dtype === 'fp16') return { float: 16 };
    const isExact = elementCount(shape) < MIN_ELEMENTS || exactKind({ name, shape }, config) !== undefined;
    if (usage === 'other' || isExact) return { float: 32 };
    if (usage === 'table') return shape[0]! < BLOCK || shape[1]! % BLOCK ? { float: 32 } : { bits: 8 };
    return { bits: dtype === 'q8' ? 8 : 4 };
  };
}

interface DataFile {
  readonly location: string;
  readonly weights: StoredWeight[];
  lengthBytes: number;
}

const aligned = (length: number) => Math.ceil(length / ALIGNMENT) * ALIGNMENT;

/** Decides where the bytes of each initializer are: weights one after another, each from a multiple of 64 bytes on. */
function layOut(weights: readonly StoredWeight[], name: string, maxBytes: number) {
  const data: DataFile[] = [];
  const externals: External[] = [];
  for (const weight of weights) {
    const sizes = weight.initializers.map(({ type, shape }) => elementCount(shape) * TYPE_BYTES[type]);
    const total = aligned(sizes.reduce((sum, size) => sum + size, 0));
    if (!data.length || (data.at(-1)!.lengthBytes && data.at(-1)!.lengthBytes + total > maxBytes))
      data.push({ location: data.length ? `${name}_${data.length}` : name, weights: [], lengthBytes: 0 });
    const file = data.at(-1)!;
    let offset = file.lengthBytes;
    for (const [i, { name: own, type, shape }] of weight.initializers.entries()) {
      externals.push({ name: own, type, shape, location: file.location, offset, length: sizes[i]! });
      offset += sizes[i]!;
    }
    file.weights.push(weight);
    file.lengthBytes += total;
  }
  return { data, externals };
}
