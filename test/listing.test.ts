// What a page shows of weight files: read from their headers by ranges.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { distribution, type Histogram } from '../src/browser/distribution.js';
import { hubFile, listHubFiles } from '../src/browser/hub.js';
import { listWeights } from '../src/browser/listing/listing.js';
import { rangesOf, sampledHistogram } from '../src/browser/listing/sample.js';
import { valuesOf } from '../src/browser/listing/values.js';
import { InputError } from '../src/core/errors.js';
import { TRANSPORT } from '../src/io/request.js';
import { encodeModel } from '../src/onnx/proto.js';
import { writeGguf } from '../src/operations/export/gguf.js';
import { squarify } from '../web/squarify.js';
import { checkpoint } from './helpers/checkpoint.js';
import { asModel, tinyModel } from './helpers/gguf.js';
import { raw } from './helpers/pickle.js';
import { CountingSource, f32, folder, safetensors, seededRandom } from './helpers/safetensors.js';

const random = seededRandom(11);
const values = (length: number) => Float32Array.from({ length }, () => random() - 0.5);
const total = ({ counts, beyond }: Histogram) => counts.reduce((a, b) => a + b, beyond);

const onnxParts = {
  name: 'graph',
  inputs: [],
  outputs: [{ name: 'y', type: 'float32', shape: [8, 16] }],
  constants: [
    { name: 'encoder.mlp.weight', type: 'float32', shape: [512, 512], values: [...values(512 * 512)] },
    { name: 'axes', type: 'int64', shape: [2], values: [-1, 3] },
  ],
  externals: [
    {
      name: 'head.weight',
      type: 'float32',
      shape: [100, 4],
      location: 'head.weight',
      offset: 0,
      length: 1600,
    },
  ],
  nodes: [{ operation: 'Relu', domain: '', inputs: ['x'], outputs: ['y'], attributes: { axis: 1 } }],
} as const;

describe('a listing', () => {
  it('of safetensors: types and shapes as the file has them, metadata, only the header read', async () => {
    const tensors = [
      f32('model.layers.0.mlp.up_proj.weight', [300, 400], values(120_000)),
      { name: 'odd', dtype: 'F4', shape: [6, 2], data: new Uint8Array(6) },
    ];
    const source = new CountingSource('m.safetensors', safetensors(tensors, { format: 'pt' }));
    const listing = await listWeights(source);
    expect(listing).toMatchObject({ format: 'safetensors', metadata: new Map([['format', 'pt']]) });
    expect(listing.tensors).toMatchObject([
      {
        name: 'model.layers.0.mlp.up_proj.weight',
        dtype: 'F32',
        shape: [300, 400],
        role: 'MLP',
        bytes: 480_000,
      },
      { name: 'odd', dtype: 'F4', shape: [6, 2], bytes: 6 },
    ]);
    expect(source.bytesRead).toBeLessThan(1000);
    const histogram = await sampledHistogram(listing.tensors[0]!.open());
    expect(total(histogram)).toBe(120_000);
    expect(histogram.moments).toMatchObject({ zeros: 0, notFinite: 0 });
  });

  it('of GGUF: quantized tensors are counted as weights, roles are those of the architecture', async () => {
    const path = join(folder(), 'llama.gguf');
    await writeGguf(asModel(tinyModel('llama')), path, { type: 'Q8_0' });
    const source = new CountingSource('llama.gguf', readFileSync(path));
    const { format, metadata, tensors } = await listWeights(source);
    expect(format).toBe('GGUF');
    expect(metadata.get('general.architecture')).toBe('llama');
    const embedding = tensors.find(({ name }) => name === 'token_embd.weight')!;
    expect(embedding).toMatchObject({ dtype: 'Q8_0', shape: [97, 64], role: 'token embedding' });
    expect(embedding.bytes).toBe((97 * 64 * 34) / 32);
    expect(total(await sampledHistogram(embedding.open()))).toBe(97 * 64);
  });

  it('of PyTorch: every view under its name; code that the pickle names is named, not run', async () => {
    const transposed = { shape: [4, 6], strides: [1, 4], values: values(24) };
    const gaps = { shape: [2, 3], strides: [8, 2], values: values(16) };
    const plain = checkpoint({ 'a.weight': transposed, b: gaps });
    const { tensors, warning } = await listWeights(new CountingSource('m.pt', plain));
    expect(warning).toBeUndefined();
    expect(tensors).toMatchObject([
      { name: 'a.weight', dtype: 'F32', shape: [4, 6], bytes: 96 },
      { name: 'b', shape: [2, 3] },
    ]);
    const { moments } = await sampledHistogram(tensors[0]!.open());
    expect(moments!.max).toBe(Math.max(...transposed.values));
    const seen = [0, 2, 4, 8, 10, 12].map((at) => gaps.values[at]!);
    const histogram = await sampledHistogram(tensors[1]!.open());
    expect(histogram.moments).toMatchObject({ min: Math.min(...seen), max: Math.max(...seen) });
    const call = raw('X', 4, 0, 0, 0, 'call', 'cos\nsystem\n(', 'X', 4, 0, 0, 0, 'true', 'tR');
    const hostile = checkpoint({ b: gaps }, call);
    const listing = await listWeights(new CountingSource('m.pt', hostile));
    expect(listing.tensors).toHaveLength(1);
    expect(listing.warning).toMatch(/names code besides tensors: os\.system\./);
  });

  it('of ONNX: initializers, those in another file noted, operators counted, weights skipped', async () => {
    const source = new CountingSource('m.onnx', encodeModel(onnxParts));
    const { format, metadata, tensors, warning } = await listWeights(source);
    expect(format).toBe('ONNX');
    expect(Object.fromEntries(metadata)).toMatchObject({
      ir_version: '9',
      producer_name: 'weightpress',
      'opset ai.onnx': '20',
      nodes: '1: Relu 1',
    });
    expect(tensors).toMatchObject([
      { name: 'encoder.mlp.weight', dtype: 'F32', shape: [512, 512], bytes: 2 ** 20, role: 'MLP' },
      { name: 'axes', dtype: 'I64', shape: [2], bytes: 16 },
      { name: 'head.weight', dtype: 'F32', shape: [100, 4], bytes: 1600, note: 'in head.weight' },
    ]);
    expect(warning).toMatch(/in head\.weight, beside this file/);
    expect(source.bytesRead).toBeLessThan(2 ** 16);
    const histogram = await sampledHistogram(tensors[0]!.open());
    expect(total(histogram)).toBe(2 ** 18);
    expect(histogram.moments!.min).toBe(onnxParts.constants[0].values.reduce((a, b) => Math.min(a, b)));
    expect((await sampledHistogram(tensors[1]!.open())).moments).toMatchObject({ min: -1, max: 3 });
    expect(() => tensors[2]!.open()).toThrow(/another file/);
  });

  it('of ONNX cut or changed anywhere: refused in words, or read', async () => {
    const small = { ...onnxParts, constants: [{ ...onnxParts.constants[1] }] };
    const bytes = encodeModel(small);
    const outcomes = new Set<boolean>();
    for (let i = 1; i < bytes.length; i++)
      for (const broken of [bytes.subarray(0, i), bytes.with(i, bytes[i]! ^ 0x81)]) {
        const error = await listWeights(new CountingSource('m.onnx', broken)).catch((error) => error);
        if (error instanceof Error) expect(error, String(error)).toBeInstanceOf(InputError);
        outcomes.add(error instanceof Error);
      }
    expect([...outcomes]).toHaveLength(2);
  });

  it('of anything else: refused in words', async () => {
    const source = new CountingSource('notes.txt', Buffer.from('these are notes, and no weights at all'));
    await expect(listWeights(source)).rejects.toThrow(/notes\.txt.*not a file of weights/);
  });
});

describe('a sample', () => {
  it('is all of a small tensor, and pieces spread over a large one', () => {
    expect(rangesOf(2 ** 20)).toEqual([[0, 2 ** 20]]);
    const ranges = rangesOf(10 ** 9);
    expect(ranges.reduce((sum, [start, end]) => sum + end - start, 0)).toBe(2 ** 20);
    expect(ranges[0]![0]).toBe(0);
    expect(ranges.at(-1)![1]).toBeGreaterThan(10 ** 9 - 512);
    expect(ranges.at(-1)![1]).toBeLessThanOrEqual(10 ** 9);
    expect(ranges.every(([start], i) => start % 256 === 0 && (!i || start >= ranges[i - 1]![1]))).toBe(true);
  });

  it('counts NaN and infinity apart, and equal values in one bin', () => {
    const odd = distribution([Float32Array.of(1, Number.NaN, 2, Number.POSITIVE_INFINITY)]);
    expect(odd).toMatchObject({ beyond: 2, moments: { mean: 1.5, min: 1, max: 2, notFinite: 2 } });
    expect(distribution([new Float32Array(9).fill(3)]).counts).toEqual([9]);
    expect(total(distribution([new Float32Array(0)]))).toBe(0);
  });

  it('reads small floats and integers', () => {
    const read = (dtype: 'F8_E4M3' | 'F8_E5M2', ...bytes: number[]) => [
      ...valuesOf('w', dtype, Uint8Array.from(bytes)),
    ];
    expect(read('F8_E4M3', 0x38, 0x7e, 0x08, 0x01, 0xb8, 0x7f)).toEqual([
      1,
      448,
      2 ** -6,
      2 ** -9,
      -1,
      Number.NaN,
    ]);
    expect(read('F8_E5M2', 0x3c, 0x7b, 0x7c, 0xbc)).toEqual([1, 57344, Number.POSITIVE_INFINITY, -1]);
    const longs = new Uint8Array(BigInt64Array.of(-5n, 7n).buffer);
    expect([...valuesOf('w', 'I64', longs)]).toEqual([-5, 7]);
  });
});

describe('the Hub in a page', () => {
  const { fetch } = TRANSPORT;
  afterEach(() => void Object.assign(TRANSPORT, { fetch }));
  const model = { repository: 'someone/model', revision: 'main' };
  const answer = (respond: (url: URL, range: string | null) => Response) =>
    Object.assign(TRANSPORT, {
      fetch: async (url: URL, { headers }: RequestInit) => respond(url, new Headers(headers).get('range')),
    });

  it('lists all pages of a repository, without names that lead elsewhere', async () => {
    answer((url) =>
      url.searchParams.has('cursor')
        ? Response.json([{ type: 'file', path: 'b.gguf', size: 5 }])
        : Response.json(
            [
              { type: 'file', path: 'a.safetensors', size: 130, lfs: { size: 7000 } },
              { type: 'directory', path: 'onnx', size: 0 },
              { type: 'file', path: '../up', size: 1 },
            ],
            { headers: { link: `<${url.href}&cursor=2>; rel="next"` } },
          ),
    );
    expect(await listHubFiles(model)).toEqual([
      { name: 'a.safetensors', lengthBytes: 7000 },
      { name: 'b.gguf', lengthBytes: 5 },
    ]);
  });

  it('reads ranges, also where the server hides their headers from pages', async () => {
    const content = safetensors([f32('w', [40, 400], values(16_000))]);
    const asked: string[] = [];
    answer((url, range) => {
      asked.push(url.pathname);
      const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(range!)!;
      return new Response(content.slice(Number(from), Number(to) + 1), { status: 206 });
    });
    const source = hubFile(model, { name: 'sub/a b.safetensors', lengthBytes: content.length });
    const { tensors } = await listWeights(source);
    expect(total(await sampledHistogram(tensors[0]!.open()))).toBe(16_000);
    expect(new Set(asked)).toEqual(new Set(['/someone/model/resolve/main/sub/a%20b.safetensors']));
  });

  it('says in a sentence that there is no such model, and that one is gated', async () => {
    answer(() => new Response('', { status: 401 }));
    await expect(listHubFiles(model)).rejects.toThrow(
      /^someone\/model: no public model of this name on the Hub$/,
    );
    const gated = hubFile(model, { name: 'w.gguf', lengthBytes: 99_999 });
    await expect(gated.read(0, 4)).rejects.toThrow(/gated.*https:\/\/huggingface\.co\/someone\/model$/);
  });
});

it('a map has areas in proportion, inside, apart, and not thin', () => {
  const seeded = seededRandom(5);
  for (let round = 0; round < 20; round++) {
    const sizes = Array.from({ length: 1 + Math.floor(seeded() * 200) }, () => 1 + seeded() * 1000).sort(
      (a, b) => b - a,
    );
    const whole = { x: 3, y: 5, width: 640, height: 200 + seeded() * 600 };
    const made = squarify(sizes, whole);
    const scale = (whole.width * whole.height) / sizes.reduce((a, b) => a + b, 0);
    let [area, thin] = [0, 0];
    for (const [i, { x, y, width, height }] of made.entries()) {
      expect(width * height).toBeCloseTo(sizes[i]! * scale, 4);
      expect(Math.min(x - whole.x, y - whole.y, whole.x + whole.width - x - width)).toBeGreaterThan(-1e-6);
      expect(whole.y + whole.height - y - height).toBeGreaterThan(-1e-6);
      area += width * height;
      if (Math.max(width / height, height / width) > 4) thin++;
    }
    expect(area).toBeCloseTo(whole.width * whole.height, 3);
    expect(thin).toBeLessThan(0.1 * sizes.length + 1);
    const [a, b] = [made[0]!, made.at(-1)!];
    if (made.length > 1) expect(a.x + a.width <= b.x + 1e-6 || a.y + a.height <= b.y + 1e-6).toBe(true);
  }
});
