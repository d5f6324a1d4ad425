import { InputError } from '../../core/errors.js';
import { type Counted, QuantizationJobs } from '../../quantization/jobs.js';
import { quantizeJob } from '../../quantization/matrix-passes.js';
import { cutBytes, type Packed, packedPieces, readPacked } from '../../stores/checked.js';
import type { Store } from '../../stores/store.js';
import { StoredStatistics } from '../packed-moments.js';
import { folderOf, type Result, readResult } from '../results.js';
import type { Work } from '../workplace.js';

/** A matrix to quantize. */
export interface MatrixData {
  readonly model: string;
  readonly tensor: string;
  /** Jobs with its statistics, the head's first; none: all relative errors count the same. */
  readonly statistics: readonly string[];
  readonly step: number;
  /** Key of the prices and shrinks in the store. */
  readonly settings: string;
  /** Whether the indices are stored, or only their counts. */
  readonly keep: boolean;
}

/** A quantized matrix to encode with the tables of the file. */
export interface EncodeData {
  /** The job that quantized it. */
  readonly matrix: string;
  /** Key of the tables in the store. */
  readonly tables: string;
}

const indicesKey = (key: string) => `${folderOf('matrix', key)}/indices`;

/** Quantizes a matrix. Memory holds its weights, the moments of both sides with their factors, and its indices. */
export async function runMatrix(data: MatrixData, { place, key }: Work): Promise<Result> {
  const { store } = place;
  const model = await place.model(data.model);
  const tensor = model.tensors.find(({ name }) => name === data.tensor);
  if (!tensor) throw new InputError('no such tensor', { file: model.id, tensor: data.tensor });
  const { arrays } = await readPacked(store, data.settings);
  const [prices, shrinks] = arrays as unknown as [Float32Array, Float32Array];
  const statistics = new StoredStatistics(store, 0, { [tensor.name]: data.statistics });
  const known = data.statistics.length ? statistics : undefined;
  const job = await quantizeJob(model, known, tensor, { step: data.step, prices, shrinks });
  const found = await jobsOf(place).quantize(job);
  if (data.keep) await store.write(indicesKey(key), packedPieces({}, [narrow(found.indices)]));
  return describe(found);
}

/** Encodes a matrix: the payloads of its parameters and of its blocks, one after another. */
export async function runEncode(data: EncodeData, { place }: Work): Promise<Result> {
  const { store } = place;
  const { header, arrays } = await readResult(store, 'matrix', data.matrix);
  const stored = await readPacked(store, indicesKey(data.matrix));
  const indices = new Int16Array(stored.arrays[0]!);
  const [rowSteps, rowContexts, columnSteps, columnContexts] = arrays as unknown as Int16Array[];
  const quantized = {
    parameters: {
      scale: header.scale as number,
      rowFactorRange: 0,
      columnFactorRange: 0,
      columns: { steps: columnSteps!, contexts: columnContexts! },
    },
    rows: { steps: rowSteps!, contexts: rowContexts! },
    indices,
  };
  const tables = (await readPacked(store, data.tables)).arrays[0] as Uint8Array;
  const payloads = jobsOf(place).encode({ quantized, tables });
  return { header: { lengths: payloads.map(({ length }) => length) }, arrays: [Buffer.concat(payloads)] };
}

/** Returns the counts in the result of a job of a matrix: pairs of an index into all counts, and how often it was counted. */
export function countsOf({ arrays }: Packed): Uint32Array {
  return arrays[4] as Uint32Array;
}

/** Reads the payloads that a job has encoded. */
export async function readPayloads(store: Store, key: string, signal?: AbortSignal): Promise<Uint8Array[]> {
  const { header, arrays } = await readResult(store, 'encode', key, signal);
  return cutBytes(arrays[0] as Uint8Array, header.lengths as number[]);
}

function describe({ parameters, rows, counts }: Counted): Result {
  const { scale, columns } = parameters;
  const counted: number[] = [];
  counts.forEach((count, i) => {
    if (count) counted.push(i, count);
  });
  const arrays = [rows.steps, rows.contexts, columns.steps, columns.contexts, Uint32Array.from(counted)];
  return { header: { scale }, arrays };
}

/** Returns indices with one byte each where that is enough. */
function narrow(indices: Int16Array): Int8Array | Int16Array {
  const bytes = new Int8Array(indices); // without `from`, which goes through an iterator
  for (let i = 0; i < indices.length; i++) if (bytes[i] !== indices[i]) return indices;
  return bytes;
}

const known = new WeakMap<object, QuantizationJobs>();

/** Returns the kernels, once per place. */
function jobsOf(place: Work['place']): QuantizationJobs {
  const jobs = known.get(place) ?? new QuantizationJobs(place.runtime);
  known.set(place, jobs);
  return jobs;
}
