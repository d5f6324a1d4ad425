import {
  describeQuantization,
  type Quantization,
  quantizationOf,
} from '../../architectures/quantization-config.js';
import { DTYPE_BYTES, elementCount } from '../../core/dtype.js';
import { InputError } from '../../core/errors.js';
import type { LeftOut } from '../../core/folder.js';
import { isPlainObject } from '../../core/json.js';
import type { Model, SideFile, Tensor, TensorInfo } from '../../core/model.js';
import { sumOf } from '../../core/sum.js';
import { readable } from '../../core/tensor.js';
import { FileBackedModel, isStoredModel, type WeightSource } from '../stored-model.js';
import { type VirtualTensor, virtualSafetensors } from '../virtual.js';
import { awq } from './awq.js';
import { fourBits, llmInt8 } from './bitsandbytes.js';
import type { PackedFormat, Unpacked } from './format.js';
import { modeloptFp4, mxfp4, packedFp4 } from './fp4.js';
import { gptq } from './gptq.js';
import { packQuantized } from './pack-quantized.js';
import { Parts } from './parts.js';
import { fp8, int8 } from './scaled.js';
import { DESCRIPTIONS, sideFilesOf, withoutPacking } from './side-files.js';

const FORMATS: readonly PackedFormat[] = [
  gptq,
  awq,
  packQuantized,
  packedFp4,
  modeloptFp4,
  mxfp4,
  fourBits,
  llmInt8,
  int8,
  fp8,
];

/** Fixed scales of activations and of the KV cache, which are computed in float here. */
const ACTIVATIONS =
  /(^|[._])(input_scale(_ub)?|input_zero_point|input_global_scale|activation_scale|[qkv]_scale|output_scale)$/;

/** Views of models that were asked for, so that there is one of each. */
const views = new WeakMap<Model, Promise<Model>>();

/**
 * Returns a model whose packed weights (FP8, GPTQ, AWQ, bitsandbytes, MXFP4, NVFP4, compressed-tensors) are float32, for what runs or
 * quantizes it: a matrix takes the place of codes, scales and zero points, and config.json does not name the packing. Rows are decoded when
 * they are read. The view is closed with the model. A model that is not packed, or in a way that is not known, is returned as it is.
 * @throws {InputError} naming a tensor that is missing or does not fit.
 */
export function unpacked(model: Model, signal?: AbortSignal): Promise<Model> {
  const known = views.get(model);
  if (known) return known;
  const view = viewOf(model, signal);
  views.set(model, view);
  view.then(
    (own) => views.set(own, view),
    () => views.delete(model),
  );
  return view;
}

async function viewOf(model: Model, signal?: AbortSignal): Promise<Model> {
  const { config } = model;
  const quantization = quantizationOf(config);
  const formats = FORMATS.filter(({ methods }) => methods.includes(quantization?.method ?? ''));
  if (!config || !quantization || !formats.length) return model;
  const given = config.quantization_config ?? config.compression_config;
  const settings = { ...quantization, given: isPlainObject(given) ? given : {} };
  const parts = new Parts(model);
  const found = new Map<string, Unpacked>();
  for (const tensor of model.tensors) {
    signal?.throwIfAborted();
    const format = formats.find((own) => own.matches(tensor, parts));
    if (format) found.set(tensor.name, await format.open(tensor, parts, settings));
  }
  if (!found.size) return model;
  const replaced = new Set([...found.values()].flatMap((own) => own.parts.map(({ name }) => name)));
  const floats = (tensors: readonly TensorInfo[]) =>
    tensors.flatMap((tensor): VirtualTensor[] => {
      const own = found.get(tensor.name);
      if (own) return [virtualTensor(own)];
      const isScale = ACTIVATIONS.test(tensor.name) && elementCount(tensor.shape) === 1;
      return isScale || replaced.has(tensor.name) ? [] : [asItIs(model, tensor)];
    });
  return withTensors(model, quantization, floats);
}

function virtualTensor({ name, shape, parts, rows }: Unpacked): VirtualTensor {
  const rowBytes = shape.at(-1)! * 4;
  const read = async (start: number, end: number, signal?: AbortSignal) => {
    if (start >= end) return new Uint8Array(0);
    const first = Math.floor(start / rowBytes);
    const floats = await rows(first, Math.ceil(end / rowBytes), signal);
    const bytes = new Uint8Array(floats.buffer, floats.byteOffset, floats.byteLength);
    return bytes.subarray(start - first * rowBytes, end - first * rowBytes);
  };
  return { name, dtype: 'F32', shape, storedBytes: sumOf(parts, ({ lengthBytes }) => lengthBytes), read };
}

function asItIs(model: Model, { name, dtype, shape, storedBytes }: TensorInfo): VirtualTensor {
  return {
    name,
    dtype,
    shape,
    ...(storedBytes !== undefined && { storedBytes }),
    read: (start, end, signal) => model.readTensor(name, start, end, signal),
  };
}

type ToFloats = (tensors: readonly TensorInfo[]) => VirtualTensor[];

function withTensors(model: Model, quantization: Quantization, floats: ToFloats): Model {
  const config = withoutPacking(model.config!);
  const packed = describeQuantization(quantization);
  const described = model.sideFiles.filter(({ name }) => DESCRIPTIONS.has(name));
  const leftOut: LeftOut[] = described.map(({ name, lengthBytes }) => ({
    name,
    lengthBytes,
    reason: 'describes packed weights',
  }));
  if (!isStoredModel(model)) return new UnpackedModel(model, config, packed, floats(model.tensors));
  const sources = model.weightSources.map((from): WeightSource => {
    const view = virtualSafetensors(from.name, from.source, floats(from.tensors));
    return { ...view, storedBytes: from.storedBytes ?? from.source.byteLength };
  });
  const { id, kind, state, files } = model;
  const sideFiles = sideFilesOf(model.sideFiles, config, sources);
  const parts = { id, kind, config, state, files, sideFiles, weightSources: sources };
  const view = new FileBackedModel({ ...parts, leftOut: [...(model.leftOut ?? []), ...leftOut] });
  return Object.assign(view, { packed });
}

/** A model that is not opened from files of its own, such as one in a .wpk file, with floats for its packed weights. */
class UnpackedModel implements Model {
  readonly id: string;
  readonly kind: Model['kind'];
  readonly state: Model['state'];
  readonly files: Model['files'];
  readonly tensors: readonly Tensor[];
  readonly sideFiles: readonly SideFile[];
  readonly weightFiles: Model['weightFiles'];
  private readonly byName: ReadonlyMap<string, VirtualTensor>;

  constructor(
    private readonly inner: Model,
    readonly config: Model['config'],
    readonly packed: string,
    tensors: readonly VirtualTensor[],
  ) {
    this.id = inner.id;
    this.kind = inner.kind;
    this.state = inner.state;
    this.files = inner.files;
    this.weightFiles = inner.weightFiles;
    this.sideFiles = sideFilesOf(inner.sideFiles, config!, []);
    this.byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
    if (this.byName.size !== tensors.length)
      throw new InputError('packed weights have the name of another tensor', { file: inner.id });
    this.tensors = readable(
      this,
      tensors.map(({ read, ...info }) => ({ ...info, lengthBytes: bytesOf(info) })),
    );
  }

  async readTensor(name: string, start = 0, end?: number, signal?: AbortSignal): Promise<Uint8Array> {
    const tensor = this.byName.get(name);
    if (!tensor) throw new InputError('no such tensor', { file: this.id, tensor: name });
    const lengthBytes = bytesOf(tensor);
    const stop = end ?? lengthBytes;
    if (start >= 0 && start <= stop && stop <= lengthBytes) return tensor.read(start, stop, signal);
    const place = { file: this.id, tensor: name, start, end: stop };
    throw new InputError(`range is outside the tensor of ${lengthBytes} bytes`, place);
  }

  async verify(): Promise<void> {
    await this.inner.verify?.();
  }

  close(): Promise<void> {
    return this.inner.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

const bytesOf = ({ dtype, shape }: Pick<TensorInfo, 'dtype' | 'shape'>) =>
  elementCount(shape) * DTYPE_BYTES[dtype];
