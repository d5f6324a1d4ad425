// A model of a config: names, types and shapes of its tensors, without weights.

import { parameterShapes } from '../../dist/architectures/shapes.js';
import { DTYPE_BYTES, elementCount } from '../../dist/core/dtype.js';
import { writeHeader } from '../../dist/models/safetensors/writer.js';
import { FileBackedModel } from '../../dist/models/stored-model.js';

/**
 * Returns a model with the tensors that a config asks for. Reading its weights fails.
 * @param {Readonly<Record<string, unknown>>} config
 * @param {'BF16' | 'F16' | 'F32'} dtype
 * @returns {FileBackedModel}
 */
export function shapedModel(config, dtype = 'BF16') {
  const declared = parameterShapes(config).map(({ name, shape }) => ({
    name,
    shape,
    dtype,
    lengthBytes: elementCount(shape) * DTYPE_BYTES[dtype],
  }));
  const { headerBytes, fileBytes, tensors } = writeHeader(declared, { format: 'pt' });
  const name = 'model.safetensors';
  const source = {
    name,
    byteLength: fileBytes,
    read: () => Promise.reject(new Error(`${name} has no weights, only their shapes`)),
    close: () => Promise.resolve(),
  };
  return new FileBackedModel({
    id: 'a model of shapes alone',
    kind: 'directory',
    config,
    sideFiles: [],
    weightSources: [{ name, source, headerBytes, tensors }],
  });
}
