import { ONNX_DTYPES, type OnnxDtype, SUFFIXES } from './encoding.js';

/** Returns how the weights of an ONNX file are stored, by its name or that of its external data; undefined for other files. */
export function dtypeOf(name: string): OnnxDtype | undefined {
  const [, suffix] = /^onnx\/model(|_[a-z0-9]+)\.onnx(?:_data(?:_\d+)?)?$/.exec(name) ?? [];
  return ONNX_DTYPES.find((dtype) => SUFFIXES[dtype] === suffix);
}

/** Returns whether transformers.js asks by a key for a file of a model. @param id of the model; undefined: all keys are of it. */
export const isKeyOf = (key: string, id: string | undefined) => id === undefined || key.includes(`/${id}/`);

/**
 * Returns which file of a model transformers.js asks its cache for: by the address on the Hub, or by a path below its folder of local
 * models. @param names of the model's files.
 */
export function fileOf(key: string, names: readonly string[]): string | undefined {
  const [, name] = /\/resolve\/[^/]+\/(.+)$/.exec(key) ?? [];
  if (name !== undefined) return names.includes(name) ? name : undefined;
  const found = names.filter((own) => key.endsWith(`/${own}`));
  return found.reduce<string | undefined>(
    (longest, own) => (own.length > (longest?.length ?? 0) ? own : longest),
    undefined,
  );
}
