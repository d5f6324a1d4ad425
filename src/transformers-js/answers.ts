import type { Model } from '../core/model.js';
import { ONNX_DTYPES } from './encoding.js';
import { fileOf } from './file-names.js';
import { transformersFiles } from './model-files.js';
import type { MadeFile } from './onnx-files.js';

/** A model, and its files as transformers.js asks for them. */
export class Answers<Source extends Model> {
  private constructor(
    readonly model: Source,
    private readonly files: ReadonlyMap<string, MadeFile>,
    private readonly id: string | undefined,
  ) {}

  /**
   * Plans all files of a model; those of ONNX in every dtype. Weights are read when they are asked for.
   * @param id the name by which transformers.js knows it; undefined: whatever it asks for is of this model.
   * @throws {InputError} for a model that cannot be run, or has no tokenizer.
   */
  static async of<Source extends Model>(model: Source, id: string | undefined): Promise<Answers<Source>> {
    const { files } = await transformersFiles(model, ONNX_DTYPES);
    return new Answers(model, new Map(files.map((file) => [file.name, file])), id);
  }

  /** Returns whether a file is all external data of an ONNX file. */
  isAllWeights({ name }: MadeFile): boolean {
    return name.endsWith('.onnx_data') && !this.files.has(`${name}_1`);
  }

  /** Returns the file that a key of transformers.js's cache is of; undefined for keys of other models, and files that this one lacks. */
  readonly find = (key: string): MadeFile | undefined => {
    const name = fileOf(key, [...this.files.keys()], this.id);
    return name === undefined ? undefined : this.files.get(name);
  };
}
