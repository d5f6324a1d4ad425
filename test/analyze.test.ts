import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { analyzeCommand } from '../src/cli/analyze.js';
import { openModel } from '../src/open/open.js';
import { analyze } from '../src/operations/analyze.js';
import { SMALL, TINY } from './helpers/fixtures.js';
import { f32, folder, safetensors, seededRandom, type TestTensor } from './helpers/safetensors.js';

const random = seededRandom(7);
const values = (count: number) => Float32Array.from({ length: count }, () => random() - 0.5);
const same = (tensor: TestTensor, name: string): TestTensor => ({ ...tensor, name });
const config = { model_type: 'gpt2', n_embd: 8, n_layer: 1, n_head: 2, n_positions: 4, vocab_size: 16 };

const embedding = f32('transformer.wte.weight', [16, 8], values(128));
const tensors = {
  embedding,
  head: same(embedding, 'lm_head.weight'),
  projection: f32('transformer.h.0.mlp.c_fc.weight', [8, 32], values(256)),
  mask: {
    name: 'transformer.h.0.attn.bias',
    dtype: 'BOOL',
    shape: [1, 1, 4, 4],
    data: Uint8Array.from({ length: 16 }, (_, i) => Number(i % 4 <= i >> 2)),
  },
};

async function analysisOf(list: readonly TestTensor[], files: Record<string, string> = {}) {
  const path = folder({
    'model.safetensors': safetensors(list),
    'config.json': JSON.stringify(config),
    ...files,
  });
  const model = await openModel(path);
  try {
    return await analyze(model);
  } finally {
    await model.close();
  }
}

describe('counting parameters', () => {
  it('counts a duplicated tied head once, in either order, and reports it', async () => {
    for (const list of [
      [tensors.embedding, tensors.head],
      [tensors.head, tensors.embedding],
    ]) {
      const { parameters, tensors, roles, lengthBytes, losslessBytes } = await analysisOf(list);
      expect(parameters).toEqual({ unique: 128, stored: 256, buffers: 0 });
      expect(tensors.filter(({ tied }) => tied)).toMatchObject([
        { name: 'lm_head.weight', sameAs: 'transformer.wte.weight' },
      ]);
      expect(roles).toMatchObject([
        { role: 'token embedding', parameters: 128, share: 0.5 },
        { role: 'head', parameters: 0, losslessBytes: 0 },
      ]);
      expect(lengthBytes).toBe(1024);
      expect(losslessBytes).toBeLessThan(600);
    }
  });

  it('keeps buffers apart', async () => {
    const { parameters, roles } = await analysisOf([tensors.projection, tensors.mask]);
    expect(parameters).toEqual({ unique: 256, stored: 256, buffers: 16 });
    expect(roles.find(({ role }) => role === 'buffer')).toMatchObject({
      tensors: 1,
      parameters: 0,
      lengthBytes: 16,
    });
  });

  it('does not take parameters for tied that are equal by chance: fresh norms, biases and zero matrices', async () => {
    const { parameters, tensors } = await analysisOf([
      f32('transformer.h.0.ln_1.weight', [8], Array(8).fill(1)),
      f32('transformer.h.0.ln_2.weight', [8], Array(8).fill(1)),
      f32('transformer.h.0.mlp.c_fc.weight', [8, 8], Array(64).fill(0)),
      f32('transformer.h.0.mlp.c_proj.weight', [8, 8], Array(64).fill(0)),
    ]);
    expect(parameters).toEqual({ unique: 144, stored: 144, buffers: 0 });
    expect(tensors.filter(({ sameAs }) => sameAs)).toHaveLength(2);
  });
});

describe('what the bits hold', () => {
  it('is reported per element for sign, exponent and mantissa', async () => {
    // Powers of two, half of them negative: one bit of sign, two of exponent, none of mantissa.
    const powers = Array.from({ length: 4096 }, (_, i) => (i & 4 ? -1 : 1) * 2 ** (i & 3));
    const { tensors, roles } = await analysisOf([f32('w', [64, 64], powers)]);
    expect(tensors[0]?.signBits).toBeCloseTo(1, 10);
    expect(tensors[0]?.exponentBits).toBeCloseTo(2, 10);
    expect(tensors[0]?.mantissaBits).toBeCloseTo(0, 10);
    expect(roles[0]?.entropyBits).toBeCloseTo(3, 10);
    expect(tensors[0]?.expectedBytes).toBeLessThan(4096);
  });

  it('is nothing for integers, and no division by zero for empty tensors', async () => {
    const counts = { name: 'n', dtype: 'I32', shape: [4], data: new Uint8Array(16).fill(9) };
    const { tensors, roles } = await analysisOf([counts, f32('e', [0, 5], [])]);
    expect(tensors.map(({ signBits }) => signBits)).toContain(undefined);
    expect(JSON.stringify({ tensors, roles })).not.toContain('null');
    const nothing = await analysisOf([]);
    expect(nothing).toMatchObject({ lengthBytes: 0, losslessBytes: 0, roles: [], tensors: [] });
  });
});

it('reads every byte once, in blocks of at most 1 MiB, and reports progress', async () => {
  const big = { name: 'big', dtype: 'BF16', shape: [3, 500_000], data: new Uint8Array(3_000_000).fill(1) };
  const path = folder({ 'm.safetensors': safetensors([big, f32('w', [2, 64], values(128))]) });
  const model = await openModel(join(path, 'm.safetensors'));
  const reads = vi.spyOn(model, 'readTensor');
  const progress: number[] = [];
  const { kind, architecture, license } = await analyze(model, {
    onProgress: ({ done }) => progress.push(done),
  });
  const ranges = reads.mock.calls.map(([name, start, end]) => [name, start, end]);
  expect(ranges).toEqual([
    ['big', 0, 1048576],
    ['big', 1048576, 2097152],
    ['big', 2097152, 3_000_000],
    ['w', 0, 512],
  ]);
  expect(progress).toEqual([1048576, 2097152, 3_000_000, 3_000_512]);
  expect(kind).toBe('safetensors');
  expect(architecture.family).toBeUndefined();
  expect(license.id).toBe('unknown');
  await model.close();
});

describe('the command', () => {
  afterEach(() => void vi.restoreAllMocks());
  async function output(...options: string[]): Promise<string> {
    const path = folder({
      'model.safetensors': safetensors(Object.values(tensors)),
      'config.json': JSON.stringify(config),
      'README.md': '---\nlicense: mit\n---\n',
    });
    const chunks: unknown[] = [];
    vi.spyOn(process.stdout, 'write').mockImplementation((chunk) => chunks.push(chunk) > 0);
    await analyzeCommand().parseAsync([path, ...options], { from: 'user' });
    return chunks.join('');
  }

  it('prints what a reader asks first', async () => {
    const text = await output();
    expect(text).toMatch(/architecture +GPT-2/);
    expect(text).toMatch(/size +1 layers?, hidden size 8, 2 heads/);
    expect(text).toMatch(/license +mit \(README\.md\)/);
    expect(text).toMatch(/parameters +384 unique, 512 stored; not counted: buffers, 16 elements/);
    expect(text).toMatch(/counted once +lm_head\.weight is identical to transformer\.wte\.weight/);
    expect(text).toMatch(/output matrix +the token embedding, stored twice/);
    expect(text).toMatch(/MLP +1 +256 +1024 B/);
    expect(text).not.toContain('c_fc');
  });

  it('prints a row for every tensor with --tensors', async () => {
    expect(await output('--tensors')).toMatch(
      /transformer\.h\.0\.mlp\.c_fc\.weight +F32 +8x32 +1\.82 +20\.92 +27\.47$/m,
    );
  });

  it('prints everything as JSON with --json', async () => {
    const parsed = JSON.parse(await output('--json'));
    expect(parsed.parameters).toEqual({ unique: 384, stored: 512, buffers: 16 });
    expect(parsed.tensors).toHaveLength(4);
  });
});

describe('real models', () => {
  it.each([
    [SMALL, 5_848_576, 6, 256],
    [TINY, 1_348_864, 4, 128],
  ])('%s', async (path, parameters, layers, hiddenSize) => {
    const model = await openModel(path);
    const analysis = await analyze(model);
    expect(analysis.parameters).toEqual({ unique: parameters, stored: parameters, buffers: 0 });
    expect(analysis.architecture).toMatchObject({ family: 'GPT-Neo', layers, hiddenSize, context: 256 });
    expect(analysis.license).toEqual({ id: 'cc0-1.0', from: 'README.md' });
    expect(analysis.losslessBytes).toBeLessThan(0.84 * analysis.lengthBytes);
    // Trained weights: a random sign, some 2.6 bits of exponent.
    const matrix = analysis.tensors.find(({ name }) => name === 'transformer.wte.weight');
    expect(matrix?.signBits).toBeGreaterThan(0.99);
    expect(matrix?.exponentBits).toBeGreaterThan(2);
    expect(matrix?.exponentBits).toBeLessThan(3.2);
    await model.close();
  });
});
