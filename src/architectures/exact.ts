import type { TensorInfo } from '../core/model.js';
import { tensorRole } from './registry.js';

/** The kind of what packed formats keep. */
export const PACKED_KIND = 'scales and codes of packed weights';

/** Why a tensor's elements are kept as they are, whatever the budget. */
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
 * What packed formats keep beside their integers: GPTQ, AWQ, FP8, NF4, MXFP4, NVFP4, HQQ, AQLM and others. An error of a
 * scale is an error of every weight that it multiplies. The last part of a name says it; that of a weight is `weight` or `bias`.
 */
const PACKED =
  /(^|\.)[^.]*(scales?|scale_\w+|zeros?|zero_?points?|absmax|quant_map|quant_state|g_idx|qweight|codebooks?|codes|centroids|_blocks|SCB|SU|SV)$|\.quant_state\./;

/** What chooses experts: an error here is another expert, not a little less of the same. */
const ROUTER =
  /(^|\.)(router|ffn_gate_inp(_shexp)?|shared_expert_gate)(\.|$)|(^|\.)gate\.(wg\.)?(weight|bias)$|e_score_correction_bias$/;

/** What recurrences are made of: errors are fed through every step of a sequence. */
const STATE_SPACE =
  /(^|\.)(A_log|A|D|dt_bias|ssm_(a|d|dt|conv1d)|time_(decay|first|faaaa|mix\w*|maa\w*)|recurrent_param)(\.(weight|bias))?$|(^|\.)(dt_proj|\w*conv1d)\.(weight|bias)$/;

/**
 * Why a tensor is never quantized, by its name, shape and type; undefined for weights that may be.
 * @param tensor as stored, or as its file reads it.
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

/** Experts are fewer than features; the gate of a plain MLP is not. */
function isNarrow([outputs = 1, inputs]: readonly number[]): boolean {
  return inputs === undefined || outputs < inputs;
}
