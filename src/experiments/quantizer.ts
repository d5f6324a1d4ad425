import { layoutOf, TRELLIS } from '../codecs/codec.js';
import { decodeRows } from '../codecs/trellis/tensor.js';
import { readFloats, widenerOf } from '../core/floats.js';
import type { Model } from '../core/model.js';
import type { Statistics } from '../quantization/calibration/statistics.js';
import type { CodedTensor } from '../quantization/candidate.js';
import { ModelQuantizer } from '../quantization/model-quantizer.js';
import { predictBits, predictStep } from '../quantization/rate-control/predict.js';
import { searchStep, type Trial } from '../quantization/rate-control/search.js';
import { Scratch } from '../quantization/scratch.js';
import { type Attempt, type Method, squares } from './attempt.js';
import type { LabMatrix } from './matrices.js';

/** This project's own codec beside the transforms: calibrated, on the same matrices, at the same sizes. */
export class QuantizerMethod implements Method {
  readonly name = 'weightpress';
  private step = 1e-4;

  private constructor(
    private readonly model: Model,
    private readonly matrices: readonly LabMatrix[],
    private readonly scratch: Scratch,
    private readonly passes: ModelQuantizer,
  ) {}

  /** @param path of a file that exists as long as the method does. */
  static async create(
    model: Model,
    matrices: readonly LabMatrix[],
    statistics: Statistics | undefined,
    path: string,
  ): Promise<QuantizerMethod> {
    const scratch = await Scratch.create(path);
    const tensors = matrices.map(({ tensor }) => tensor);
    return new QuantizerMethod(
      model,
      matrices,
      scratch,
      new ModelQuantizer(model, tensors, statistics, scratch, {}),
    );
  }

  async close(): Promise<void> {
    await Promise.all([this.passes.close(), this.scratch.close()]);
  }

  async fit(bytes: number): Promise<Attempt | undefined> {
    let last: { readonly tables: Uint8Array; readonly coded: readonly CodedTensor[] } | undefined;
    const size = async (step: number) => {
      this.step = step;
      const { tables, tensors } = await this.passes.run(step);
      const coded: CodedTensor[] = [];
      for await (const tensor of tensors) coded.push(tensor);
      last = { tables, coded };
      return tables.length + coded.reduce((sum, tensor) => sum + lengthOf(tensor), 0);
    };
    const predict = (trials: readonly Trial[], target: number) => {
      const { counts } = this.passes;
      const { step, value } = trials.at(-1)!;
      return predictStep(counts, step, predictBits(counts, 0) + 8 * (target - value));
    };
    const aim = { least: Math.ceil(bytes * 0.99), most: bytes, grows: false };
    const { met } = await searchStep(size, aim, this.step, [1e-9, 1e3], predict);
    return met ? this.decode(last!.tables, last!.coded) : undefined;
  }

  private async decode(tables: Uint8Array, coded: readonly CodedTensor[]): Promise<Attempt> {
    const matrices = [];
    for (const [i, matrix] of this.matrices.entries()) {
      const { tensor, elements } = matrix;
      const [parameters, ...blocks] = coded[i]!.payloads;
      const widen = widenerOf(this.model, tensor.name, tensor.dtype);
      const decoded = new Float32Array(elements);
      let next = 0;
      for (const block of layoutOf({ ...tensor, codec: TRELLIS }, this.model.id).blocks(tensor)) {
        decoded.set(
          widen(decodeRows(blocks[next++]!, block, { tables, parameters: parameters! })),
          block.first,
        );
      }
      const original = await readFloats(this.model, tensor);
      matrices.push({ matrix, bytes: lengthOf(coded[i]!), decoded, ...squares(original, decoded) });
    }
    return { bytes: tables.length + matrices.reduce((sum, { bytes }) => sum + bytes, 0), matrices };
  }
}

function lengthOf({ payloads }: CodedTensor): number {
  return payloads.reduce((sum, { length }) => sum + length, 0);
}
