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
  ) {}

  /**
   * Plans all files of a model; those of ONNX in every dtype. Weights are read when they are asked for.
   * @throws {InputError} for a model that cannot be run.
   */
  static async of<Source extends Model>(model: Source): Promise<Answers<Source>> {
    const { files } = await transformersFiles(model, ONNX_DTYPES);
    return new Answers(model, new Map(files.map((file) => [file.name, file])));
  }

  /** Returns whether a file is all external data of an ONNX file. */
  isAllWeights({ name }: MadeFile): boolean {
    return name.endsWith('.onnx_data') && !this.files.has(`${name}_1`);
  }

  /** Returns the file that a key of transformers.js's cache is of; undefined for one that the model lacks. */
  readonly find = (key: string): MadeFile | undefined => {
    const name = fileOf(key, [...this.files.keys()]);
    return name === undefined ? undefined : this.files.get(name);
  };
}

/** Opens a model when it is first asked for; after a failure the next time tries again. */
export class Opening<Source extends Model> {
  private opening: Promise<Answers<Source>> | undefined;

  constructor(private readonly open: () => Promise<Source>) {}

  /** @throws {InputError} as opening does, and as {@link Answers.of}. */
  answers(): Promise<Answers<Source>> {
    this.opening ??= this.open()
      .then(Answers.of)
      .catch((error) => {
        this.opening = undefined;
        throw error;
      });
    return this.opening;
  }

  /** Closes the model, if it is open; asked again, it is opened again. */
  async close(): Promise<void> {
    const opened = await this.opening?.catch(() => undefined);
    this.opening = undefined;
    await opened?.model.close();
  }
}
