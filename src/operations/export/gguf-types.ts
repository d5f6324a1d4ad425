import { ELEMENTS } from '../../core/elements.js';
import { quantizeQ8 } from '../../models/gguf/quantize.js';

/** The types that matrices can be written as in GGUF, by ggml's names. */
export const WRITE_TYPES = ['F32', 'F16', 'BF16', 'Q8_0'] as const;
/** A type that matrices can be written as in GGUF. */
export type GgufWriteType = (typeof WRITE_TYPES)[number];

/** `general.file_type` and the encoder of each type, which may overwrite its input of finite numbers. */
export const ENCODINGS: Readonly<
  Record<GgufWriteType, { readonly fileType: number; encode(values: Float32Array): Uint8Array }>
> = {
  F32: { fileType: 0, encode: ELEMENTS.F32 },
  F16: { fileType: 1, encode: ELEMENTS.F16 },
  BF16: { fileType: 32, encode: ELEMENTS.BF16 },
  Q8_0: { fileType: 7, encode: quantizeQ8 },
};

/** Tensors that llama.cpp expects in F32, as all vectors. */
const ALWAYS_F32 = /(^|[._])(position_embd|token_types|norm|ffn_gate_inp|shortconv\.conv)\.weight$|\.bias$/;

/** Returns the type of a tensor: llama.cpp expects vectors and some more in F32; rows that are not whole blocks are F16. */
export function typeFor(requested: GgufWriteType, name: string, shape: readonly number[]): GgufWriteType {
  if (shape.length < 2 || ALWAYS_F32.test(name)) return 'F32';
  return requested === 'Q8_0' && shape.at(-1)! % 32 ? 'F16' : requested;
}
