import { codecOf, TRELLIS } from '../codecs/codec.js';
import { decodeRows } from '../codecs/trellis/tensor.js';
import { readFloats, widenerOf } from '../core/floats.js';
import type { Model } from '../core/model.js';
import { sumOf } from '../core/sum.js';
import type { Statistics } from '../quantization/calibration/statistics.js';
import type { CodedTensor } from '../quantization/candidate-frames.js';
import { encodeModel } from '../quantization/encoder.js';
import { IndexStore } from '../quantization/index-store.js';
import { ThreadPasses } from '../quantization/matrix-passes.js';
import { ModelQuantizer } from '../quantization/model-quantizer.js';
import { type PlannedTensor, planTensors } from '../quantization/plan.js';
import { sizePredictor } from '../quantization/rate-control/rate-samples.js';
import { searchStep } from '../quantization/rate-control/step-search.js';
import { STEP_BOUNDS } from '../quantization/search.js';
import { type QuantizationThreads, startQuantization } from '../quantization/threads.js';
import { type Attempt, type MatrixAttempt, type Method, squares } from './attempt.js';
import type { LabMatrix } from './matrices.js';

/** The trellis codec, calibrated, as a method to compare with transforms on the same matrices and at the same sizes. */
export class QuantizerMethod implements Method {
  readonly name = 'weightpress';
  /** The last attempt: the next search starts with its step, and the result is decoded from its payloads. */
  private last: {
    readonly step: number;
    readonly tables: Uint8Array;
    readonly coded: readonly CodedTensor[];
  } = { step: 1e-4, tables: new Uint8Array(0), coded: [] };
  private readonly planned: readonly PlannedTensor[];
  private readonly quantizer: ModelQuantizer;

  private constructor(
    private readonly model: Model,
    private readonly matrices: readonly LabMatrix[],
    statistics: Statistics | undefined,
    private readonly indexStore: IndexStore,
    private readonly threads: QuantizationThreads,
  ) {
    const tensors = matrices.map(({ tensor }) => tensor);
    this.planned = planTensors(tensors, new Map());
    this.quantizer = new ModelQuantizer(tensors, new ThreadPasses(model, statistics, indexStore, threads));
  }

  /** Creates the method. @param path path next to which its temporary file is created. */
  static async create(
    model: Model,
    matrices: readonly LabMatrix[],
    statistics: Statistics | undefined,
    path: string,
  ): Promise<QuantizerMethod> {
    const indexStore = await IndexStore.create(path);
    return new QuantizerMethod(model, matrices, statistics, indexStore, startQuantization());
  }

  async close(): Promise<void> {
    await Promise.all([this.threads.close(), this.indexStore.close()]);
  }

  async fit(bytes: number): Promise<Attempt | undefined> {
    const aim = { min: Math.ceil(bytes * 0.99), max: bytes, increasing: false };
    const { met } = await searchStep((step) => this.attempt(step), aim, {
      first: this.last.step,
      bounds: STEP_BOUNDS,
      predict: sizePredictor([]),
    });
    return met ? this.decode() : undefined;
  }

  private async attempt(step: number) {
    const quantized = await this.quantizer.quantize(step);
    const coded: CodedTensor[] = [];
    for await (const tensor of encodeModel(this.model, this.planned, quantized)) coded.push(tensor);
    const { tables, passes } = quantized;
    this.last = { step, tables, coded };
    return { step, value: tables.length + sumOf(coded, lengthOf), counts: passes.at(-1)! };
  }

  private async decode(): Promise<Attempt> {
    const { tables, coded } = this.last;
    const matrices: MatrixAttempt[] = [];
    for (const [i, matrix] of this.matrices.entries()) {
      const { tensor, elements } = matrix;
      const [parameters, ...blocks] = coded[i]!.payloads;
      const widen = widenerOf(this.model, tensor.name, tensor.dtype);
      const decoded = new Float32Array(elements);
      let next = 0;
      for (const block of codecOf({ ...tensor, codec: TRELLIS }, this.model.id).blocks(tensor)) {
        const rows = decodeRows(blocks[next++]!, block, { tables, parameters: parameters! });
        decoded.set(widen(rows), block.first);
      }
      const original = await readFloats(this.model, tensor);
      matrices.push({ matrix, bytes: lengthOf(coded[i]!), decoded, ...squares(original, decoded) });
    }
    return { bytes: tables.length + sumOf(matrices, ({ bytes }) => bytes), matrices };
  }
}

function lengthOf({ payloads }: CodedTensor): number {
  return sumOf(payloads, ({ length }) => length);
}
