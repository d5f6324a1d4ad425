// What an error costs belongs to a row and a column of the Hub's tensor, wherever GGUF has them: a wrong order would only give worse files.
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { elementCount } from '../src/core/dtype.js';
import { openProgram } from '../src/inference/program.js';
import { LastSlice } from '../src/models/gguf/axes.js';
import { GGUF_FAMILIES } from '../src/models/gguf/names.js';
import { viewsOf } from '../src/operations/export/gguf-tensors.js';
import { STRIP, type StripTask, stripTasks } from '../src/operations/quantize/tasks.js';
import type { Statistics, TensorMoments } from '../src/quantization/calibration/statistics.js';
import type { Moments } from '../src/quantization/jobs.js';
import { knownMoments } from '../src/quantization/moments.js';
import { FAMILIES } from './helpers/fixtures.js';
import { asModel, randomModel, TINY_CONFIGS, tinyModel } from './helpers/gguf.js';
import { MemoryModel } from './helpers/memory-model.js';
import { seededRandom } from './helpers/safetensors.js';

/** The first element's number of each tensor, in a model whose weights are their own numbers. */
type Starts = ReadonlyMap<string, number>;

/** Makes every weight its own number, counted through the whole model: float32 has 2^24 of them. */
function numbered(model: MemoryModel): Starts {
  const starts = new Map<string, number>();
  let next = 0;
  for (const { name, shape } of model.tensors) {
    starts.set(name, next);
    const values = Float32Array.from({ length: elementCount(shape) }, (_, i) => next + i);
    model.set(name, shape, values);
    next += values.length;
  }
  expect(next).toBeLessThan(2 ** 24);
  return starts;
}

/** A number for each pair of places along a side of a tensor, the same in both orders. */
const costOf = (tensor: string, side: 'row' | 'column', i: number, j: number) =>
  0.5 +
  seededRandom(
    [...`${tensor} ${side} ${Math.min(i, j)} ${Math.max(i, j)}`].reduce(
      (hash, letter) => (Math.imul(hash, 31) + letter.charCodeAt(0)) | 0,
      7,
    ),
  )();

/** How the statistics of a tensor are stored: which side has only a diagonal. */
interface Kind extends Pick<TensorMoments, 'kind' | 'transposed'> {
  readonly diagonal: readonly ('row' | 'column')[];
}

const LINEAR: Kind = { kind: 'linear', transposed: false, diagonal: [] };

function statisticsOf(model: MemoryModel, kindsOf: (name: string, shape: readonly number[]) => Kind[]) {
  const side = (name: string, which: 'row' | 'column', n: number, { diagonal }: Kind) =>
    diagonal.includes(which)
      ? Float32Array.from({ length: n }, (_, i) => costOf(name, which, i, i))
      : Float32Array.from({ length: n * n }, (_, at) => costOf(name, which, Math.floor(at / n), at % n));
  const tensor = async (name: string): Promise<TensorMoments[]> => {
    const { shape } = model.tensors.find((own) => own.name === name)!;
    const columns = shape.at(-1)!;
    const rows = elementCount(shape) / columns;
    return kindsOf(name, shape).map((kind) => {
      const own = `${kind.kind} ${name}`;
      const [ofRows, ofColumns] = [side(own, 'row', rows, kind), side(own, 'column', columns, kind)];
      const [outputs, inputs] = kind.transposed ? [ofColumns, ofRows] : [ofRows, ofColumns];
      return { kind: kind.kind, transposed: kind.transposed, inputs, outputs };
    });
  };
  return { tokens: 1, tensor } satisfies Statistics;
}

/** Of moments what an error at one place, times an error at another, costs. */
function momentAt({ values }: Moments, n: number, i: number, j: number): number {
  if (values.length === n) return i === j ? values[i]! : 0;
  expect(values.length).toBe(n * n);
  return values[i * n + j]!;
}

/** Damping of a side, by what it is of. */
const DAMPING = { inputs: 0.03, outputs: 0.3 };

async function opened(memory: MemoryModel) {
  const model = asModel(memory);
  const gguf = GGUF_FAMILIES.find(({ modelTypes }) =>
    modelTypes.includes(memory.config.model_type as string),
  )!;
  const { plan } = await openProgram(model);
  return { model, views: viewsOf(model, gguf, plan) };
}

/**
 * Checks that errors at any two elements of any strip cost the product of what their Hub rows and Hub columns do.
 * @returns the checked tensors' names in GGUF.
 */
async function checkPlaces(
  memory: MemoryModel,
  kindsOf: (name: string, shape: readonly number[]) => Kind[],
  wanted: RegExp,
): Promise<string[]> {
  const starts = numbered(memory);
  const names = [...starts.keys()];
  const { model, views } = await opened(memory);
  const placeOf = (value: number) => {
    const name = names.findLast((own) => starts.get(own)! <= value)!;
    const width = memory.tensors.find((own) => own.name === name)!.shape.at(-1)!;
    const element = value - starts.get(name)!;
    return { name, row: Math.floor(element / width), column: element % width };
  };
  const random = seededRandom(29);
  const some = views.filter(({ name, shape }) => shape.length > 1 && wanted.test(name));
  for (const view of some) {
    const strips = await Promise.all(
      stripTasks(model, statisticsOf(memory, kindsOf), view).map((run) => run()),
    );
    expect(strips.reduce((sum, { rows }) => sum + rows, 0) * view.shape.at(-1)!).toBe(
      elementCount(view.shape),
    );
    for (const { rows, columns, weights, rowMoments, columnMoments } of strips) {
      const at = (row: number, column: number) => placeOf(weights[row * columns + column]!);
      const [kind] = kindsOf(at(0, 0).name, view.shape).filter((own) => !view.use || own.kind === view.use);
      const cost = (side: 'row' | 'column', name: string, i: number, j: number) =>
        i !== j && kind!.diagonal.includes(side) ? 0 : costOf(`${kind!.kind} ${name}`, side, i, j);
      for (let i = 0; i < 300; i++) {
        // half of the pairs share a row, as those of which only the diagonal is known must to say something
        const draw = (n: number) => Math.floor(random() * n);
        const [r, c, s, d] = [draw(rows), draw(columns), draw(rows), draw(columns)];
        const [one, other] = [at(r, c), at(i % 2 ? r : s, i % 3 ? d : c)];
        expect(other.name).toBe(one.name);
        const found =
          momentAt(rowMoments, rows, r, i % 2 ? r : s) * momentAt(columnMoments, columns, c, i % 3 ? d : c);
        const expected =
          cost('row', one.name, one.row, other.row) * cost('column', one.name, one.column, other.column);
        if (Math.abs(found - expected) > 1e-5) expect({ view: view.name, one, other, found }).toBe(expected);
      }
      if (kind!.kind !== 'linear') continue;
      const isTurned = at(0, 0).row === at(rows - 1, 0).row;
      const rowsAreInputs = isTurned !== kind!.transposed;
      expect([view.name, rowMoments.damping, columnMoments.damping]).toEqual([
        view.name,
        rowsAreInputs ? DAMPING.inputs : DAMPING.outputs,
        rowsAreInputs ? DAMPING.outputs : DAMPING.inputs,
      ]);
    }
  }
  return some.map(({ name }) => name);
}

const family = (name: string) => MemoryModel.of(join(FAMILIES, name));
const ofLayer = (stems: readonly string[]) => stems.map((stem) => `blk.1.${stem}.weight`);

/** Layouts, a model that has them, and the tensors of one of its layers. */
const CASES: readonly (readonly [
  layout: string,
  () => Promise<MemoryModel> | MemoryModel,
  stems: string[],
])[] = [
  [
    'llama: rows of queries and keys in another order, the others as they are',
    () => tinyModel('llama'),
    ['attn_q', 'attn_k', 'attn_v', 'attn_output', 'ffn_gate', 'ffn_up', 'ffn_down'],
  ],
  ['gpt2: transposed', () => tinyModel('gpt2'), ['attn_qkv', 'attn_output', 'ffn_up', 'ffn_down']],
  ['falcon: queries, keys and values apart', () => family('falcon'), ['attn_qkv']],
  ['bloom: the same of every head', () => family('bloom'), ['attn_qkv']],
  ['mixtral: experts of tensors of their own', () => family('mixtral'), ['ffn_gate_exps', 'ffn_down_exps']],
  ['deepseek: latent keys and values', () => family('deepseek_v3'), ['attn_k_b', 'attn_v_b', 'ffn_up_exps']],
];

const transposedKind = (memory: MemoryModel): Kind => ({
  ...LINEAR,
  transposed: memory.config.model_type === 'gpt2',
});

describe('what an error costs follows the elements', () => {
  it.each(CASES)('%s', async (_, make, stems) => {
    const memory = await make();
    const wanted = new RegExp(`^blk\\.1\\.(${stems.join('|')})\\.weight$`);
    const names = await checkPlaces(memory, () => [transposedKind(memory)], wanted);
    expect(names.sort()).toEqual(ofLayer(stems).sort());
  });

  it.each(CASES)('of statistics that are diagonals: %s', async (_, make, stems) => {
    const memory = await make();
    const kind: Kind = { ...transposedKind(memory), diagonal: ['row', 'column'] };
    const wanted = new RegExp(`^blk\\.1\\.(${stems.join('|')})\\.weight$`);
    await checkPlaces(memory, () => [kind], wanted);
  });

  it.each([
    ['granitemoe', 'stacked experts, gate and up cut apart'],
    ['gpt_oss', 'stacked experts, transposed, gate and up in turn'],
  ])('%s: %s', async (name) => {
    const memory = await family(name);
    const kind: Kind = { kind: 'experts', transposed: false, diagonal: ['row'] };
    const names = await checkPlaces(memory, () => [kind], /^blk\.1\.ffn_\w+_exps\.weight$/);
    expect(names.sort()).toEqual(ofLayer(['ffn_down_exps', 'ffn_gate_exps', 'ffn_up_exps']));
  });

  const TIED = (['head', 'embedding'] as const).map(
    (kind): Kind => ({ kind, transposed: false, diagonal: ['row'] }),
  );

  it('a tied embedding whose head is a tensor of its own: each has the costs of its use', async () => {
    const memory = tinyModel('gpt_neox', { tie_word_embeddings: true });
    const names = await checkPlaces(memory, () => TIED, /^(token_embd|output)\.weight$/);
    expect(names).toEqual(['token_embd.weight', 'output.weight']);
  });

  it('a tied embedding that is both: those of a .wpk', async () => {
    const memory = tinyModel('qwen2');
    const { model, views } = await opened(memory);
    const statistics = statisticsOf(memory, () => TIED);
    const embedding = views.find(({ name }) => name === 'token_embd.weight')!;
    const [{ rowMoments, columnMoments }] = await Promise.all(
      stripTasks(model, statistics, embedding).map((run) => run()) as [ReturnType<StripTask>],
    );
    expect({ rows: rowMoments, columns: columnMoments }).toEqual(
      await knownMoments(statistics, 'model.embed_tokens.weight', { rows: 97, columns: 64 }),
    );
  });

  it('a large embedding, in strips', async () => {
    const { weights } = STRIP;
    STRIP.weights = 2 ** 15;
    onTestFinished(() => {
      STRIP.weights = weights;
    });
    const memory = randomModel({ ...TINY_CONFIGS.llama, vocab_size: 1000, num_hidden_layers: 1 });
    const kind: Kind = { kind: 'embedding', transposed: false, diagonal: ['row'] };
    const { model, views } = await opened(memory);
    const embedding = views.find(({ name }) => name === 'token_embd.weight')!;
    expect(stripTasks(model, undefined, embedding).length).toBe(2);
    await checkPlaces(memory, () => [kind], /^token_embd\.weight$/);
  });

  it('matrices that are read at the same time are each transposed once, and their places once', async () => {
    const memory = tinyModel('gpt2');
    const { model, views } = await opened(memory);
    const statistics = statisticsOf(memory, () => [transposedKind(memory)]);
    let transposed = 0;
    const { get } = LastSlice.prototype;
    const spy = vi.spyOn(LastSlice.prototype, 'get').mockImplementation(function (
      this: LastSlice,
      owner,
      index,
      make,
    ) {
      return get.call(this, owner, index, () => {
        transposed++;
        return make();
      });
    });
    const some = views.filter(({ name }) => /(attn_output|ffn_up|ffn_down)\.weight/.test(name));
    await Promise.all(some.flatMap((view) => stripTasks(model, statistics, view)).map((run) => run()));
    spy.mockRestore();
    expect([some.length, transposed]).toEqual([6, 12]);
  });
});
