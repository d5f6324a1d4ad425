// Every family is quantized by its own statistics, into the same indices on one thread and on two.
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MAX_INDEX } from '../src/codecs/trellis/levels.js';
import { INDICES } from '../src/codecs/trellis/tokens.js';
import { elementCount } from '../src/core/dtype.js';
import { sumOf } from '../src/core/sum.js';
import { loadRuntime } from '../src/onnx/node/runtime.js';
import { openModel } from '../src/open/open.js';
import { collectStatistics } from '../src/quantization/calibration/collect.js';
import { MemoryStatistics } from '../src/quantization/calibration/memory-statistics.js';
import { findExactTensors } from '../src/quantization/exact-tensors.js';
import { IndexStore } from '../src/quantization/index-store.js';
import { ThreadPasses } from '../src/quantization/matrix-passes.js';
import { ModelQuantizer } from '../src/quantization/model-quantizer.js';
import { planTensors, quantizedTensors } from '../src/quantization/plan.js';
import { type QuantizationThreads, startQuantization } from '../src/quantization/threads.js';
import { FAMILIES, RUNNABLE } from './helpers/fixtures.js';
import { folder, seededRandom } from './helpers/safetensors.js';

const nodeRuntime = await loadRuntime();
/** Models whose matrices are used as another's are. */
const VARIANTS =
  /^(llama_(?!bias)|phi3_|gpt_neox_|falcon_7b|camembert|xlm-roberta|olmoe_|deepseek_v2_lite|gemma3_text)/;
const NAMES = RUNNABLE.filter((name) => !VARIANTS.test(name));

describe('statistics and indices', { tags: 'slow' }, () => {
  let pools: QuantizationThreads[];
  beforeAll(() => {
    pools = [startQuantization(1), startQuantization(2)];
  });
  afterAll(() => Promise.all(pools.map((pool) => pool.close())));

  it.each(NAMES)('%s', async (name) => {
    const model = await openModel(join(FAMILIES, name));
    const random = seededRandom(5);
    const windows = Array.from({ length: 16 }, () =>
      Int32Array.from({ length: 24 }, () => 4 + random() * 88),
    );
    const statistics = new MemoryStatistics(16 * 24);
    await collectStatistics(nodeRuntime, model, windows, statistics);
    const quantized = quantizedTensors(planTensors(model.tensors, await findExactTensors(model)));
    for (const { name: tensor } of quantized.filter(({ name: own }) => !/vision_tower|multi_modal/.test(own)))
      expect((await statistics.tensor(tensor)).length, tensor).toBeGreaterThan(0);
    const results = [];
    for (const [i, pool] of pools.entries()) {
      const store = await IndexStore.create(join(folder(), `${i}`));
      const quantizer = new ModelQuantizer(quantized, new ThreadPasses(model, statistics, store, pool));
      const { matrices, tables, passes } = await quantizer.quantize(0.01);
      const payloads = [];
      for (const { name: tensor } of quantized) payloads.push(await matrices.payloads(tensor, tables));
      results.push({ tables, payloads, counts: passes.at(-1)! });
      await store.close();
    }
    await model.close();
    expect(results[0]).toEqual(results[1]);
    const weights = sumOf(quantized, ({ shape }) => elementCount(shape));
    const isOfZero = (_: number, i: number) => i % INDICES === MAX_INDEX;
    const zeros = sumOf(results[0]!.counts.filter(isOfZero), (count) => count);
    expect(zeros / weights).toBeLessThan(0.9);
  });
});

describe('the mixtures of experts', () => {
  it.each(['mixtral', 'gpt_oss'])(
    '%s have statistics of each expert, also of those without tokens',
    async (name) => {
      const model = await openModel(join(FAMILIES, name));
      const statistics = new MemoryStatistics(3);
      await collectStatistics(nodeRuntime, model, [Int32Array.of(5, 6, 7)], statistics);
      for (const { name: tensor } of model.tensors.filter(({ name: own }) =>
        /experts.*(w\d\.weight|_proj)$/.test(own),
      )) {
        const [found] = await statistics.tensor(tensor);
        const size = Math.sqrt(found!.inputs.length);
        const diagonal = Array.from({ length: size }, (_, i) => found!.inputs[i * size + i]!);
        expect(Math.min(...diagonal), tensor).toBeGreaterThan(0);
        expect(
          found!.outputs.some((value) => value > 0),
          tensor,
        ).toBe(true);
      }
      await model.close();
    },
  );
});
