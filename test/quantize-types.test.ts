// Which types a budget chooses: what each costs, and the best choice of all tensors' types.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { sumOf } from '../src/core/sum.js';
import { GGML_GRIDS } from '../src/grids/ggml.js';
import { typeNamed } from '../src/models/gguf/types.js';
import { viewOf as elementsOf, type GgufView } from '../src/operations/export/gguf-tensors.js';
import { candidatesFor, measureCosts, type TypeCost } from '../src/operations/quantize/costs.js';
import { describe as describeFile } from '../src/operations/quantize/described.js';
import { type Choice, Ladder, lossOfChoice } from '../src/operations/quantize/ladder.js';
import { quantizeGguf } from '../src/operations/quantize/quantize.js';
import type { Session } from '../src/operations/quantize/session.js';
import { stripTasks } from '../src/operations/quantize/tasks.js';
import { StatisticsFile } from '../src/quantization/calibration/statistics-file.js';
import { startQuantization } from '../src/quantization/threads.js';
import { asModel, tinyModel, withTokenizer } from './helpers/gguf.js';
import { MemoryModel } from './helpers/memory-model.js';
import { folder, seededRandom } from './helpers/safetensors.js';

const bytesOf = (choice: Choice) => sumOf([...choice.values()], ({ bytes }) => bytes);

describe('the ladder of choices', () => {
  const type = typeNamed('Q8_0');
  const anyCosts = fc.array(
    fc.array(fc.record({ bytes: fc.integer({ min: 1, max: 40 }), loss: fc.integer({ min: 0, max: 60 }) }), {
      minLength: 1,
      maxLength: 4,
    }),
    { minLength: 1, maxLength: 4 },
  );
  const property = (check: (ladder: Ladder, all: readonly Choice[]) => void) =>
    fc.assert(
      fc.property(anyCosts, (given) => {
        const costs = new Map(
          given.map((own, i) => [`${i}`, own.map((cost): TypeCost => ({ type, ...cost }))] as const),
        );
        const all = [...costs].reduce<Choice[]>(
          (choices, [name, own]) =>
            choices.flatMap((choice) => own.map((cost) => new Map([...choice, [name, cost]]))),
          [new Map()],
        );
        check(new Ladder(costs), all);
      }),
      { seed: 17, numRuns: 60 },
    );

  it('begins with the fewest bytes and ends with the least loss', () =>
    property((ladder, all) => {
      expect(bytesOf(ladder.smallest)).toBe(Math.min(...all.map(bytesOf)));
      expect(lossOfChoice(ladder.best)).toBe(Math.min(...all.map(lossOfChoice)));
    }));

  it('below a loss: no choice of as few bytes loses less', () =>
    property((ladder, all) => {
      for (const limit of new Set(all.map(lossOfChoice))) {
        const choice = ladder.below(limit);
        expect(lossOfChoice(choice)).toBeLessThanOrEqual(limit);
        const better = all.filter((other) => bytesOf(other) <= bytesOf(choice)).map(lossOfChoice);
        expect(Math.min(...better)).toBe(lossOfChoice(choice));
      }
      expect(ladder.below(-1)).toEqual(ladder.best);
    }));

  it('within a size: no more than that, and nothing better is one step away', () =>
    property((ladder, all) => {
      for (const limit of new Set(all.map(bytesOf))) {
        const choice = ladder.within((own) => bytesOf(own) <= limit);
        expect(bytesOf(choice)).toBeLessThanOrEqual(limit);
        const simple = [...new Set(all.map(lossOfChoice))].map((loss) => ladder.below(loss));
        for (const other of simple)
          if (bytesOf(other) <= limit) expect(lossOfChoice(choice)).toBeLessThanOrEqual(lossOfChoice(other));
      }
    }));
});

/** The only tensor of a model, as it is. */
function viewOf(memory: MemoryModel): GgufView {
  const [tensor] = memory.tensors;
  const view = elementsOf(asModel(memory), tensor!);
  return { ...view, role: view.name, sources: [tensor!], places: undefined };
}

describe('what types cost', () => {
  const threads = startQuantization(1);
  afterAll(() => threads.close());
  const costs = async (model: MemoryModel, view: GgufView, statistics?: Session['statistics']) => {
    const session = { model: asModel(model), statistics, threads } as Session;
    const found = await measureCosts(session, [{ view, types: candidatesFor(view) }], () => {});
    return found.get(view.name)!;
  };

  it.each([
    [64, ['IQ4_NL', 'Q5_0', 'Q5_1', 'Q8_0']],
    [256, ['Q2_K', 'Q3_K', 'IQ4_XS', 'Q4_K', 'Q5_K', 'Q6_K', 'Q8_0']],
    [72, []],
  ])('rows of %i: fewer bytes, more loss', async (columns, expected) => {
    const random = seededRandom(3);
    const values = Float32Array.from({ length: 96 * columns }, () => random() + random() - 1);
    const model = new MemoryModel({}, new Map()).set('w', [96, columns], values);
    const view = viewOf(model);
    const found = await costs(model, view);
    expect(found.map(({ type }) => type.name)).toEqual(expected);
    expect(found.map(({ bytes }) => bytes)).toEqual(
      found.map(({ bytes }) => bytes).toSorted((a, b) => a - b),
    );
    expect(found.map(({ loss }) => loss)).toEqual(found.map(({ loss }) => loss).toSorted((a, b) => b - a));
    if (found.length) expect(found[0]!.loss / found.at(-1)!.loss).toBeGreaterThan(50);
  });

  it('a sample of many rows is about all of them', async () => {
    const random = seededRandom(5);
    const rows = 3000;
    // rows of very different sizes
    const values = Float32Array.from(
      { length: rows * 64 },
      (_, i) => (random() - 0.5) * (1 + ((i >> 6) % 7)),
    );
    const model = new MemoryModel({}, new Map()).set('w', [rows, 64], values);
    const view = viewOf(model);
    const sampled = await costs(model, view);
    const [task] = stripTasks(asModel(model), undefined, view);
    const formats = sampled.map(({ type }) => GGML_GRIDS[type.name]!.format);
    const all = await threads.run('lossesOnGrids', { ...(await task!()), formats });
    for (const [i, { loss }] of sampled.entries()) expect(loss / (all[i]! / 2)).toBeCloseTo(1, 1);
  });

  it('a matrix that nothing depends on costs next to nothing, in every type', async () => {
    const rows = 3000;
    const random = seededRandom(6);
    const values = Float32Array.from({ length: rows * 64 }, () => random() - 0.5);
    const model = new MemoryModel({}, new Map()).set('w', [rows, 64], values);
    const nothing = { inputs: new Float32Array(64 ** 2), outputs: new Float32Array(rows) };
    const tensor = async () => [{ kind: 'head', transposed: false, ...nothing } as const];
    const found = await costs(model, viewOf(model), { tokens: 1, tensor });
    expect(found.length).toBe(4);
    for (const { loss } of found) expect(loss).toBeLessThan(1e-30);
  });

  it('of all tensors, it adds up to about the divergence that is measured', { tags: 'slow' }, async () => {
    const memory = withTokenizer(tinyModel('llama', { intermediate_size: 256 }));
    const model = asModel(memory);
    const place = folder();
    const calibration = {
      text: readFileSync('examples/held-out.txt', 'utf8'),
      name: 'text',
      tokens: 4096,
      statisticsPath: join(place, 'statistics'),
    };
    const made = await quantizeGguf(model, join(place, 'x.gguf'), {
      to: 'Q5_K_M',
      calibration,
      threads: 1,
    });
    const { views } = await describeFile(model, 'llama.cpp');
    const statistics = await StatisticsFile.open(calibration.statisticsPath);
    let expected = 0;
    for (const view of views) {
      const { type } = made.tensors.find(({ name }) => name === view.name)!;
      if (type === 'F32') continue;
      expected += (await costs(memory, view, statistics)).find((cost) => cost.type.name === type)!.loss;
    }
    const measured = (made.quality as { kl: { mean: number } }).kl.mean;
    expect(measured / expected).toBeGreaterThan(0.3);
    expect(measured / expected).toBeLessThan(1.2);
    await statistics.close();
  });
});
