// Every model type that llama.cpp has: written, read back, and run by llama.cpp itself.
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { openModel } from '../src/open/open.js';
import { writeGguf } from '../src/operations/export/gguf.js';
import { FAMILIES } from './helpers/fixtures.js';
import { asModel, randomModel } from './helpers/gguf.js';
import { llama, logProbabilities, probabilitiesThere } from './helpers/llama-cpp.js';
import { largestDifference, logitsOf } from './helpers/logits.js';
import { MemoryModel } from './helpers/memory-model.js';
import { folder } from './helpers/safetensors.js';

afterAll(() => llama?.dispose());

type Changes = Readonly<Record<string, unknown>>;

/** Fixtures of the reference implementation, and what has to be changed for llama.cpp to compute them. */
const AS_THEY_ARE: Readonly<Record<string, Changes>> = {
  bloom: {},
  cohere2: {},
  falcon: {},
  falcon_7b: {},
  gemma: {},
  gemma2: { query_pre_attn_scalar: 12 },
  gemma3_text: { query_pre_attn_scalar: 8 },
  gpt2: {},
  gpt_bigcode: {},
  gpt_neox: {},
  gpt_neox_sequential: {},
  granite: {},
  granitemoe: {},
  lfm2: {},
  llama_bias: {},
  llama_linear: {},
  llama_llama3: {},
  llama_longrope: {},
  llama_yarn: {},
  mixtral: {},
  olmo2: {},
  olmo3: {},
  phi: {},
  phi3_longrope: {},
  qwen3: {},
  qwen3_moe: {},
  smollm3: {},
  stablelm: {},
  stablelm_parallel: {},
  deepseek_v2_lite: { rms_norm_eps: 1e-6 },
};

const place = folder();
const PROMPT = [46, 57, 37, 43, 55, 16, 91, 63, 80, 24];

describe.each(Object.entries(AS_THEY_ARE))('%s', (name, changes) => {
  it('x', async () => {
    const memory = await MemoryModel.of(join(FAMILIES, name));
    Object.assign(memory.config, changes);
    const file = join(place, `${name}.gguf`);
    await writeGguf(asModel(memory), file, { type: 'F32' });
    const opened = await openModel(file);
    const logits = await logitsOf(opened, [PROMPT]);
    await opened.close();
    const d = largestDifference(logits, await logitsOf(memory, [PROMPT]));
    const there = await probabilitiesThere(file, PROMPT);
    const largest = logits.reduce((most, logit) => Math.max(most, Math.abs(logit)), 0);
    console.log(name, d, largestDifference(there, logProbabilities(logits, PROMPT.length)) / largest);
    expect(d).toBeLessThan(1e-4);
  });
});
void randomModel;
