import type { TensorInfo } from '../core/model.js';
import { tensorRole } from './registry.js';

/** The kind of auxiliary tensors in packed formats. */
export const PACKED_KIND = 'scales and codes of packed weights';

/** Reasons for storing a tensor exactly, independent of the budget. */
export const EXACT_KINDS = [
  'masks and tables',
  PACKED_KIND,
  'routers',
  'state-space parameters',
  'not finite',
  'no floats',
] as const;
export type ExactKind = (typeof EXACT_KINDS)[number];

/**
 * Auxiliary tensors of packed formats: GPTQ, AWQ, FP8, NF4, MXFP4, NVFP4, HQQ, AQLM and others. An error in a scale affects every weight
 * that it multiplies. They are recognized by the last part of the name, which is `weight` or `bias` for weights.
 */
const PACKED =
  /(^|\.)(?!logit_scale$)[^.]*(scales?|scale_\w+|zeros?|zero_?points?|absmax|quant_map|quant_state|g_idx|qweight|weight_(?:shape|format)|codebooks?|codes|centroids|_blocks|SCB|SU|SV)$|\.quant_state\./;

/** Routers of experts: an error can select another expert. */
const ROUTER =
  /(^|\.)(router|ffn_gate_inp(_shexp)?|shared_expert_gate)(\.|$)|(^|\.)gate\.(wg\.)?(weight|bias)$|e_score_correction_bias$/;

/** Parameters of recurrences, in which errors accumulate over the sequence. */
const STATE_SPACE =
  /(^|\.)(A_log|A|D|dt_bias|ssm_(a|d|dt|conv1d)|time_(decay|first|faaaa|mix\w*|maa\w*)|recurrent_param)(\.(weight|bias))?$|(^|\.)(dt_proj|\w*conv1d|conv\.conv)\.(weight|bias)$/;

/**
 * Returns why a tensor is never quantized, by its name and shape; undefined for weights that may be quantized.
 */
export function exactKind(
  tensor: Pick<TensorInfo, 'name' | 'shape'>,
  config: Readonly<Record<string, unknown>> | undefined,
): ExactKind | undefined {
  const { name, shape } = tensor;
  if (tensorRole(tensor, config) === 'buffer') return 'masks and tables';
  if (PACKED.test(name)) return PACKED_KIND;
  if (ROUTER.test(name) && isNarrow(shape)) return 'routers';
  if (STATE_SPACE.test(name)) return 'state-space parameters';
  return undefined;
}

/** Returns whether there are fewer outputs than inputs, as in routers but not in the gate of an MLP. */
function isNarrow([outputs = 1, inputs]: readonly number[]): boolean {
  return inputs === undefined || outputs < inputs;
}
