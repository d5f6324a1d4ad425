/** Fields that say how a model was made, trained, stored or used, but not what it computes. */
const NAMES: ReadonlySet<string> = new Set([
  ...[
    'architectures',
    'model_type',
    'auto_map',
    'custom_pipelines',
    'name_or_path',
    'revision',
    'license',
    'language',
    'tags',
  ],
  ...[
    'dtype',
    'torch_dtype',
    'torchscript',
    'use_bfloat16',
    'transformers_version',
    'transformers.js_config',
    'unsloth_version',
  ],
  ...[
    'use_cache',
    'cache_implementation',
    'gradient_checkpointing',
    'chunk_size_feed_forward',
    'is_encoder_decoder',
    'pretraining_tp',
  ],
  ...[
    'output_attentions',
    'output_hidden_states',
    'output_past',
    'output_router_logits',
    'return_dict',
    'return_dict_in_generate',
  ],
  ...[
    'output_scores',
    'problem_type',
    'id2label',
    'label2id',
    'num_labels',
    'finetuning_task',
    'task_specific_params',
    'tokenizer_class',
  ],
  ...[
    'prefix',
    'max_length',
    'min_length',
    'do_sample',
    'early_stopping',
    'num_beams',
    'num_beam_groups',
    'num_return_sequences',
  ],
  ...[
    'diversity_penalty',
    'length_penalty',
    'repetition_penalty',
    'encoder_no_repeat_ngram_size',
    'no_repeat_ngram_size',
  ],
  ...[
    'temperature',
    'top_k',
    'top_p',
    'typical_p',
    'bad_words_ids',
    'suppress_tokens',
    'begin_suppress_tokens',
  ],
  ...[
    'exponential_decay_length_penalty',
    'remove_invalid_values',
    'generation_config',
    'tf_legacy_loss',
    'pruned_heads',
  ],
  ...[
    'initializer_range',
    'initializer_factor',
    'init_std',
    'scale_init',
    'layer_norm_init',
    'weight_init',
    'rescale_prenorm_residual',
  ],
  ...[
    'router_aux_loss_coef',
    'aux_loss_alpha',
    'seq_aux',
    'router_jitter_noise',
    'router_dtype',
    'z_loss_coefficient',
    'ep_size',
  ],
  ...[
    'summary_activation',
    'summary_first_dropout',
    'summary_proj_to_labels',
    'summary_type',
    'summary_use_proj',
    'summary_last_dropout',
  ],
  ...[
    '_attn_implementation',
    '_attn_implementation_autoset',
    '_attn_implementation_internal',
    'attn_implementation',
    '_flash_attn_2_enabled',
  ],
  ...[
    'attention_softmax_in_fp32',
    'scale_attention_softmax_in_fp32',
    'use_flash_attn',
    'fused_bias_fc',
    'fused_dropout_add_ln',
  ],
  ...[
    'classifier_activation',
    'classifier_bias',
    'classifier_pooling',
    'deterministic_flash_attn',
    'reference_compile',
    'repad_logits_with_grad',
  ],
  ...[
    'sparse_pred_ignore_index',
    'sparse_prediction',
    'tokens_per_dataset',
    'vocab_size_per_layer_input_pad',
    'layer_group_size',
  ],
  ...[
    'torch_compile',
    'low_cpu_mem_usage',
    'inference_runner',
    'validate_runner',
    'attention_runner',
    'mlp_runner',
  ],
  ...[
    'max_batch_size',
    'max_sequence_length_trained',
    'use_mambapy',
    'description',
    'pipeline_tag',
    'skip_bias_add',
    'seq_length',
    'n_inner_shards',
  ],
]);

/** The same, by patterns: token ids, dropout, and everything private. */
const PATTERNS =
  /(^|_)(drop|dropout|pdrop)(_|$)|dropout|_pdrop$|_token_ids?$|_token_index$|^_(name|commit|from)_|^(tf|flax)_/;

/** Values of settings of some families that change nothing. */
const NEUTRAL: Readonly<Record<string, unknown>> = {
  logits_scaling: 1,
  logit_scale: 1,
  embedding_multiplier: 1,
  residual_multiplier: 1,
  scale_emb: 1,
  num_local_experts: 1,
  num_experts: 1,
  n_routed_experts: 1,
};

/** Returns whether a field of config.json does not change what any model computes, by its name or because it is empty, off or neutral. */
export function isHarmless(key: string, value: unknown): boolean {
  if (NAMES.has(key) || PATTERNS.test(key)) return true;
  return value === false || value === 0 || value === NEUTRAL[key] || isEmpty(value);
}

const isEmpty = (value: unknown) => typeof value === 'object' && Object.keys(value ?? {}).length === 0;
