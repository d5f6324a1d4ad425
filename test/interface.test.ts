import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, test } from 'vitest';
import * as weightpress from '../src/index.js';
import {
  type Codec,
  type CompressOptions,
  ConnectionError,
  compress,
  type ErrorCode,
  evaluate,
  generate,
  InputError,
  IntegrityError,
  type Model,
  open,
  type Progress,
  type RunOptions,
} from '../src/index.js';
import { openFiles } from '../src/open/open.js';
import { FIXTURES } from './helpers/fixtures.js';
import { f32, folder, safetensors, seededRandom } from './helpers/safetensors.js';

// What the library promises to every caller: one kind of progress, an end on request, errors for programs, tensors as numbers.

const TINY = 'examples/gpt-neo-tiny';
const TEXT = readFileSync('assets/calibration.txt', 'utf8').slice(0, 60_000);
const CALIBRATION = { text: TEXT, name: 'text', tokens: 4096 };
const place = folder();
const at = (name: string) => join(place, name);
await compress(TINY, at('tiny.wpk'), { threads: 0 });

/** Every long function, writing `output` if it writes anything. */
const LONG: Readonly<Record<string, (model: Model, output: string, run: RunOptions) => Promise<unknown>>> = {
  'lossless compress': (_, output, run) => compress(TINY, output, { threads: 1, ...run }),
  'compress to bits': (model, output, run) =>
    compress(model, output, { budget: { bits: 4 }, calibration: CALIBRATION, threads: 1, ...run }),
  'compress by a transform': (model, output, run) =>
    compress(model, output, {
      codec: { transform: 'haar' },
      budget: { bits: 4 },
      calibration: false,
      ...run,
    }),
  decompress: (_, output, run) => weightpress.decompress(at('tiny.wpk'), output, { threads: 1, ...run }),
  verify: (_, __, run) => weightpress.verify(at('tiny.wpk'), { threads: 1, ...run }),
  'verify against the original': (model, _, run) =>
    weightpress.verify(at('tiny.wpk'), { threads: 1, against: model, ...run }),
  analyze: (model, _, run) => weightpress.analyze(model, run),
  evaluate: (model, _, run) => evaluate(model, { text: TEXT, maxTokens: 512, ...run }),
  generate: (model, _, run) => generate(model, [1, 2, 3], { maxTokens: 4, ...run }),
  'export as safetensors': (model, output, run) =>
    weightpress.exportSafetensors(model, output, { dtype: 'F16', ...run }),
  'export as ONNX': (model, output, run) =>
    weightpress.exportOnnx(model, output, { dtypes: ['q4'], calibration: CALIBRATION, threads: 1, ...run }),
  'export as GGUF': async (_, output, run) => {
    const llama = await open(join(FIXTURES, 'llama'));
    try {
      await weightpress.exportGguf(llama, output, run);
    } finally {
      await llama.close();
    }
  },
  catalog: (_, __, run) => weightpress.catalog(place, { verify: true, ...run }),
  lab: (model, _, run) =>
    weightpress.lab(model, {
      ratio: 8,
      block: 64,
      dimensions: 1,
      keep: false,
      calibration: CALIBRATION,
      tokens: 256,
      prompt: 'It',
      ...run,
    }),
};
/** Those that search for a budget. */
const LOSSY = ['compress to bits', 'compress by a transform'];
/** Those that take seconds. */
const LONGEST = [...LOSSY, 'export as ONNX'];
/** Those that take too long to be run to their end here. */
const ONLY_STOPPED = ['lab', 'export as GGUF'];
/** Those whose last stage may be over before all of it is done: a text that ends, a try that is too fine. */
const ENDS_EARLY = ['generate', 'compress by a transform'];
const withModel = async (work: (model: Model) => Promise<unknown>) => {
  const model = await open(TINY);
  try {
    await work(model);
  } finally {
    await model.close();
  }
};

describe('every long function', () => {
  const reportsAll = (name: string) =>
    withModel(async (model) => {
      const reports: Progress[] = [];
      await LONG[name]!(model, at(`${name}.out`), { onProgress: (progress) => reports.push(progress) });
      expect(reports.length).toBeGreaterThan(1);
      for (const { stage, done, total, unit, secondsLeft } of reports) {
        expect(stage).toMatch(/^[a-z]+ing\b/);
        expect(['bytes', 'weights', 'tokens', 'files', 'tensors']).toContain(unit);
        expect(done).toBeGreaterThanOrEqual(0);
        expect(done).toBeLessThanOrEqual(total * (1 + 1e-9));
        if (secondsLeft !== undefined) expect(secondsLeft).toBeGreaterThanOrEqual(0);
      }
      const last = reports.at(-1)!;
      if (!ENDS_EARLY.includes(name)) expect(last.done).toBeCloseTo(last.total, 6);
      const ofLast = reports.filter(({ stage }) => stage === last.stage).map(({ done }) => done);
      expect(ofLast).toEqual([...ofLast].sort((a, b) => a - b));
    });
  const whole = Object.keys(LONG).filter((name) => !ONLY_STOPPED.includes(name));
  const title = '%s reports progress up to all of it';
  test.each(whole.filter((name) => !LONGEST.includes(name)))(title, reportsAll);
  test.each(LONGEST)(title, { tags: 'slow' }, reportsAll);

  const stopped = async (name: string, model: Model, run: RunOptions) => {
    const output = at('stopped');
    const thrown = await LONG[name]!(model, output, run).then(
      () => 'nothing',
      (error) => error,
    );
    expect(thrown).toBe(run.signal!.reason);
    expect(existsSync(output)).toBe(false);
    expect(readdirSync(place).filter((file) => file.startsWith('stopped'))).toEqual([]);
  };

  test.each(Object.keys(LONG))('%s, aborted before it begins, rejects with the reason', (name) =>
    withModel((model) => stopped(name, model, { signal: AbortSignal.abort(new Error('not now')) })),
  );

  test.each(Object.keys(LONG))('%s, aborted on the way, rejects with the reason and leaves nothing', (name) =>
    withModel(async (model) => {
      const stop = new AbortController();
      const onProgress = () => stop.abort(new Error('enough'));
      await stopped(name, model, { signal: stop.signal, onProgress });
    }),
  );
});

describe('compress', () => {
  it.each(weightpress.TRANSFORMS)('takes the transform %s as a codec', async (transform) => {
    const path = folder({
      'model.safetensors': safetensors([
        f32('w', [64, 64], Float32Array.from({ length: 4096 }, seededRandom(1))),
      ]),
    });
    const budget = { bits: 8 };
    const { options, tensors } = await compress(path, at(`${transform}.wpk`), {
      codec: { transform, size: 16 },
      budget,
      calibration: false,
    });
    expect(options).toMatchObject({
      codec: 'transform',
      transform,
      size: 16,
      dimensions: 1,
      keep: false,
      budget,
    });
    expect(tensors.map(({ codec }) => codec)).toEqual(['transform']);
  });

  it("returns the file's summary, and why a budget is not used up", async () => {
    const path = folder({
      'model.safetensors': safetensors([
        f32('w', [64, 64], Float32Array.from({ length: 4096 }, seededRandom(1))),
      ]),
    });
    const output = at('large-budget.wpk');
    const { note, ...summary } = await compress(path, output, { budget: { bits: 40 }, calibration: false });
    expect(note).toMatch(/enough for a lossless file/);
    expect(summary).toEqual(await weightpress.inspect(output));
    expect((await compress(path, at('same.wpk'))).note).toBeUndefined();
  });

  const refused: [said: RegExp, options: CompressOptions, code?: ErrorCode][] = [
    [/a lossless file takes no budget/, { codec: 'lossless', budget: { bits: 3 } }],
    [/a lossy codec needs a budget/, { codec: 'trellis' }],
    [/a lossy codec needs a budget/, { codec: { transform: 'dct' } as Codec }],
    [/all is for lossless files/, { budget: { bits: 3 }, all: true }],
    [/a transform cannot be resumed/, { codec: { transform: 'dct' }, budget: { bits: 3 }, resume: true }],
    [/state is for files with a budget/, { state: 'model' }],
    [/expected one budget of kl, cosine, bits, size and ratio, found none/, { budget: {} }],
    [/found kl and bits/, { budget: { kl: 1, bits: 3 } }],
    [/expected a positive bits, found -1/, { budget: { bits: -1 } }],
    [/a transform takes a budget of bits, size or ratio/, { codec: { transform: 'dct' }, budget: { kl: 1 } }],
    [/needs a text/, { budget: { kl: 0.1 }, calibration: false }, 'needs-text'],
  ];
  test.each(refused)('refuses options that do not go together: %s', async (said, options, code) => {
    const error = await compress(TINY, at('no.wpk'), options).catch((thrown) => thrown);
    expect(error).toBeInstanceOf(InputError);
    expect(error.message).toMatch(said);
    expect(error.code).toBe(code);
    expect(existsSync(at('no.wpk'))).toBe(false);
  });
});

describe('errors', () => {
  it('are classes with the place that they found, and a code where the caller can do something', async () => {
    const exists = await compress(TINY, at('tiny.wpk')).catch((error) => error);
    expect(exists).toMatchObject({
      code: 'exists',
      file: at('tiny.wpk'),
      tensor: undefined,
      range: undefined,
    });
    expect(exists.message).toBe(`${at('tiny.wpk')}: already exists`);
    await withModel(async (model) => {
      const outside = await model.readTensor('transformer.wte.weight', 0, 1e9).catch((error) => error);
      expect(outside).toMatchObject({ tensor: 'transformer.wte.weight', range: { start: 0, end: 1e9 } });
      expect(outside.file).toContain('model.safetensors');
    });
    for (const kind of [IntegrityError, ConnectionError]) {
      const error = new kind('is wrong', { file: 'f', start: 3 });
      expect(error).toBeInstanceOf(InputError);
      expect(weightpress.isInputError(error)).toBe(true);
      expect(error).toMatchObject({ name: kind.name, file: 'f', range: { start: 3, end: undefined } });
    }
  });

  it('and notes name no flag of the command line: that is cli/ to add', () => {
    const files = readdirSync('src', { recursive: true, encoding: 'utf8' }).filter(
      // a model card has commands for its reader
      (name) => name.endsWith('.ts') && !/^(cli|wasm)|card\.ts$/.test(name),
    );
    expect(files.length).toBeGreaterThan(100);
    const flags = files.flatMap((name) =>
      [...readFileSync(join('src', name), 'utf8').matchAll(/(['`])(?:(?!\1).)*--[a-z](?:(?!\1).)*\1/g)].map(
        ([text]) => `${name}: ${text}`,
      ),
    );
    expect(
      flags.filter((text) => !text.includes('var(--') && !text.includes('llama-gguf-split --merge')),
    ).toEqual([]);
  });
});

/** Floats as bfloat16, which these have all bits in. */
function upperHalves(values: Float32Array): Uint8Array {
  const bits = new Uint32Array(values.buffer);
  return new Uint8Array(Uint16Array.from(bits, (word) => word >>> 16).buffer);
}

test.each(weightpress.GGUF_TYPES)('a model is written as GGUF of %s, and read again', async (type) => {
  const llama = await open(join(FIXTURES, 'llama'));
  await weightpress.exportGguf(llama, at(`${type}.gguf`), { type });
  const written = await open(at(`${type}.gguf`));
  const floats = async (model: Model) =>
    model.tensors.find(({ name }) => name === 'model.layers.0.mlp.up_proj.weight')!.floats();
  const [before, after] = [await floats(llama), await floats(written)];
  const largest = Math.max(...before.map((value, i) => Math.abs(value - after[i]!)));
  const scale = Math.max(...before.map(Math.abs));
  expect(largest / scale).toBeLessThanOrEqual({ F32: 0, F16: 2 ** -11, BF16: 2 ** -8, Q8_0: 1 / 200 }[type]);
  await Promise.all([llama.close(), written.close()]);
});

describe('tensors', () => {
  const values = Float32Array.of(1, -2.5, 0, Number.NaN, Number.POSITIVE_INFINITY, 3.140625);
  const path = folder({
    'model.safetensors': safetensors([
      f32('single', [2, 3], values),
      { name: 'half', dtype: 'BF16', shape: [2, 3], data: upperHalves(values) },
      { name: 'ints', dtype: 'I32', shape: [2], data: new Uint8Array(Int32Array.of(1, 2).buffer) },
    ]),
  });

  it.each(['folder', 'wpk'])('of a %s are read as bytes and as floats, whole and in part', async (kind) => {
    if (kind === 'wpk') await compress(path, at('floats.wpk'), { force: true });
    const model = await open(kind === 'wpk' ? at('floats.wpk') : path);
    const tensor = (name: string) => model.tensors.find((candidate) => candidate.name === name)!;
    for (const name of ['single', 'half']) {
      expect(await tensor(name).floats()).toEqual(values);
      expect(await tensor(name).floats({ start: 1, end: 4 })).toEqual(values.slice(1, 4));
      expect(await tensor(name).bytes()).toEqual(await model.readTensor(name));
    }
    expect(await tensor('half').bytes({ start: 2, end: 4 })).toEqual(await model.readTensor('half', 2, 4));
    await expect(tensor('ints').floats()).rejects.toThrow(/expected elements of F32.*found I32/);
    const aborted = { signal: AbortSignal.abort(new Error('no')) };
    await expect(tensor('half').floats(aborted)).rejects.toThrow('no');
    expect({ ...tensor('half') }).toMatchObject({ name: 'half', dtype: 'BF16', lengthBytes: 12 });
    await model.close();
  });
});

describe('opened models and files', () => {
  it.each([
    ['a folder', () => open(TINY)],
    ['a .wpk', () => open(at('tiny.wpk'))],
    ['files', () => openFiles(TINY)],
    ['the files of a .wpk', () => openFiles(at('tiny.wpk'))],
  ])('is closed by await using, and may be closed twice: %s', async (_, opening) => {
    const opened = await opening();
    await opened[Symbol.asyncDispose]();
    await opened.close();
    if ('readTensor' in opened) await expect(opened.readTensor(opened.tensors[0]!.name)).rejects.toThrow();
  });
});
