import type { Model, Tensor, TensorInfo } from '../../src/core/model.js';
import { readable } from '../../src/core/tensor.js';
import { openModel } from '../../src/open/open.js';

interface MemoryTensor {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data: Uint8Array;
}

/** A model in memory whose config and tensors a test can change. */
export class MemoryModel {
  readonly id = 'model';
  readonly kind = 'directory' as const;
  readonly sideFiles: Model['sideFiles'] = [];
  readonly weightFiles = [];

  constructor(
    public config: Record<string, unknown>,
    readonly byName: Map<string, MemoryTensor>,
  ) {}

  /** A copy of what lies in a folder. */
  static async of(path: string): Promise<MemoryModel> {
    const model = await openModel(path);
    const byName = new Map<string, MemoryTensor>();
    for (const { name, dtype, shape } of model.tensors)
      byName.set(name, { dtype, shape, data: await model.readTensor(name) });
    const copy = new MemoryModel({ ...model.config }, byName);
    const files = await Promise.all(
      model.sideFiles.map(async (file) => ({ ...file, name: file.name, content: await file.read() })),
    );
    for (const { name, content } of files) copy.addFile(name, content);
    await model.close();
    return copy;
  }

  get tensors(): Tensor[] {
    return readable(
      this,
      [...this.byName].map(
        ([name, { dtype, shape, data }]) => ({ name, dtype, shape, lengthBytes: data.length }) as TensorInfo,
      ),
    );
  }

  async readTensor(name: string, start?: number, end?: number): Promise<Uint8Array> {
    return this.byName.get(name)!.data.slice(start, end);
  }

  addFile(name: string, content: string | Uint8Array): void {
    const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : content;
    (this.sideFiles as Model['sideFiles'][number][]).push({
      name,
      lengthBytes: bytes.length,
      read: async () => bytes,
    });
  }

  /** Renames tensors; those whose new name is undefined are dropped. */
  rename(change: (name: string) => string | undefined): this {
    for (const [name, tensor] of [...this.byName]) {
      const renamed = change(name);
      if (renamed === name) continue;
      this.byName.delete(name);
      if (renamed !== undefined) this.byName.set(renamed, tensor);
    }
    return this;
  }

  /** The values of an F32 tensor; changing them changes the model. */
  floats(name: string): Float32Array {
    const { data } = this.byName.get(name)!;
    return new Float32Array(data.buffer, data.byteOffset, data.length / 4);
  }

  /** Puts an F32 tensor in. */
  set(name: string, shape: readonly number[], values: Float32Array): this {
    this.byName.set(name, { dtype: 'F32', shape, data: new Uint8Array(values.buffer) });
    return this;
  }

  async close(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {}
}
