/** How a model's floats are stored in its ONNX files, by transformers.js's names. */
export const ONNX_DTYPES = ['fp32', 'fp16', 'q8', 'q4'] as const;
/** One of them. */
export type OnnxDtype = (typeof ONNX_DTYPES)[number];

/** What transformers.js puts between the name of a model file and `.onnx`. */
export const SUFFIXES: Readonly<Record<OnnxDtype, string>> = {
  fp32: '',
  fp16: '_fp16',
  q8: '_quantized',
  q4: '_q4',
};

/** Bits of a code. */
export type Bits = 4 | 8;

/** Codes that share a scale: neighbors in a row. */
export { GROUP as BLOCK } from '../grids/onnx.js';

/** How one tensor is stored: as floats of a width in bits, or as codes in blocks. */
export type Encoding = { readonly float: 16 | 32 } | { readonly bits: Bits };
