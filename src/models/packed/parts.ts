import { DTYPE_BYTES, type Dtype, elementCount } from '../../core/dtype.js';
import { InputError } from '../../core/errors.js';
import { float8E4m3, float8E5m2, float8E8m0 } from '../../core/float8.js';
import { widenerOf } from '../../core/floats.js';
import { quote } from '../../core/json.js';
import type { Model, TensorInfo } from '../../core/model.js';

/** The numbers that bytes of an element type represent. U8 as a scale is an exponent (E8M0). */
const TABLES: Partial<Readonly<Record<Dtype, Float32Array>>> = {
  F8_E4M3: float8E4m3(),
  F8_E5M2: float8E5m2(),
  I8: Float32Array.from({ length: 256 }, (_, bits) => (bits << 24) >> 24),
  U8: float8E8m0(),
};

/** A packed tensor kept in memory. */
interface Kept {
  readonly tensor: TensorInfo;
  readonly start: number;
  readonly bytes: Promise<Uint8Array>;
}

/** The tensors of a model as they lie, by name: codes, scales and zero points of packed weights. */
export class Parts {
  private readonly byName: ReadonlyMap<string, TensorInfo>;
  private kept: Kept | undefined;

  constructor(private readonly model: Model) {
    this.byName = new Map(model.tensors.map((tensor) => [tensor.name, tensor]));
  }

  find(name: string): TensorInfo | undefined {
    return this.byName.get(name);
  }

  /** Returns the first of these that exists. @throws {InputError} when none does, in the name of the weights that need it. */
  need(packed: TensorInfo, ...names: string[]): TensorInfo {
    for (const name of names) {
      const found = this.byName.get(name);
      if (found) return found;
    }
    this.refuse(packed, `packed weights without ${names.join(' or ')}`);
  }

  /** @throws {InputError} unless a tensor has one of these element types, and this shape. */
  check({ name, dtype, shape }: TensorInfo, dtypes: readonly Dtype[], expected = shape): void {
    if (dtypes.includes(dtype) && `${shape}` === `${expected}`) return;
    const types = dtypes.join(' or ');
    this.refuse({ name }, `expected ${types} of shape ${quote(expected)}, found ${dtype} of ${quote(shape)}`);
  }

  /** @throws {InputError} always */
  refuse({ name }: Pick<TensorInfo, 'name'>, message: string): never {
    throw new InputError(message, { file: this.model.id, tensor: name });
  }

  /** Reads bytes. */
  bytes({ name }: TensorInfo, start?: number, end?: number, signal?: AbortSignal): Promise<Uint8Array> {
    return this.model.readTensor(name, start, end, signal);
  }

  /**
   * Reads bytes `start` to `end` and keeps them until others are asked for: formats that pack columns need them for every row. They
   * take as much memory as the packed weights.
   */
  async keep(tensor: TensorInfo, start = 0, end = tensor.lengthBytes, signal?: AbortSignal) {
    if (this.kept?.tensor !== tensor || this.kept.start !== start) {
      const kept = { tensor, start, bytes: this.bytes(tensor, start, end, signal) };
      kept.bytes.catch(() => {
        if (this.kept === kept) this.kept = undefined;
      });
      this.kept = kept;
    }
    return this.kept.bytes;
  }

  /** Reads elements `start` to `end` as numbers: floats, 8-bit floats, I8, or exponents in U8. @throws {InputError} for other types. */
  async numbers(tensor: TensorInfo, start = 0, end = elementCount(tensor.shape), signal?: AbortSignal) {
    const width = DTYPE_BYTES[tensor.dtype];
    const bytes = await this.bytes(tensor, start * width, end * width, signal);
    const table = TABLES[tensor.dtype];
    if (!table) return widenerOf(this.model, tensor.name, tensor.dtype)(bytes);
    const values = new Float32Array(bytes.length);
    for (let i = 0; i < values.length; i++) values[i] = table[bytes[i]!]!;
    return values;
  }

  /** Reads all elements of an I32 tensor. */
  async integers(tensor: TensorInfo, signal?: AbortSignal): Promise<Int32Array> {
    return wordsOf(await this.bytes(tensor, undefined, undefined, signal));
  }
}

/** Returns bytes as little-endian 32-bit integers; a copy if they are not aligned. */
export function wordsOf(bytes: Uint8Array): Int32Array {
  const aligned = bytes.byteOffset % 4 ? bytes.slice() : bytes;
  return new Int32Array(aligned.buffer as ArrayBuffer, aligned.byteOffset, aligned.byteLength >> 2);
}

/** Outputs, and inputs, of a tile that is transposed at once, so that it stays in the processor's cache. */
export const [TILE_OUTPUTS, TILE_INPUTS] = [16, 32];

/** Element types of scales. */
export const SCALES: readonly Dtype[] = ['F32', 'F16', 'BF16'];
