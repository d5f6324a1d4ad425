// Which tensor gets which type: what llama.cpp itself answers, and the bytes of its quantizers on GPT-Neo.
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { elementCount } from '../src/core/dtype.js';
import { MIXTURES, type Mixture, mixtureModel, mixtureTypes } from '../src/models/gguf/mixtures.js';
import { typeNamed } from '../src/models/gguf/types.js';
import { typeFor } from '../src/operations/export/gguf-types.js';
import { fixture } from './helpers/fixtures.js';
import { seededRandom } from './helpers/safetensors.js';

/** For each mixture a letter per tensor, or a dot. */
type Rows = { readonly [mixture in Mixture]?: string };

interface Reference {
  readonly fileTypes: Readonly<Record<string, number>>;
  readonly letters: Readonly<Record<string, string>>;
  readonly models: Readonly<Record<string, ReferenceModel>>;
}

interface ReferenceModel {
  readonly metadata: Readonly<Record<string, string | number | number[]>>;
  readonly tensors: readonly (readonly [name: string, shape: number[]])[];
  /** With an importance matrix. */
  readonly types: Rows;
  /** Without one, where types differ. */
  readonly plain: Rows;
  /** Types whose blocks do not divide a row. */
  readonly wanted: Rows;
}

/** What llama.cpp answers: scripts/fixtures/mixtures.py. */
const { fileTypes, letters, models }: Reference = JSON.parse(
  gunzipSync(readFileSync(fixture('mixtures/llama-cpp.json.gz'))).toString(),
);
const ALL = Object.keys(MIXTURES) as Mixture[];

it('mixtures have the numbers of llama.cpp', () => {
  expect(Object.fromEntries(ALL.map((mixture) => [mixture, MIXTURES[mixture].fileType]))).toEqual(fileTypes);
});

describe.each(Object.entries(models))('%s', (title, { metadata, tensors, types, plain, wanted }) => {
  const model = mixtureModel(new Map(Object.entries(metadata)));
  const named = tensors.map(([name, shape]) => ({ name, shape }));
  const listed = (row = '') =>
    Object.fromEntries(
      named.flatMap(({ name }, i) => (letters[row[i]!] ? [[name, letters[row[i]!]!] as const] : [])),
    );

  it('the types of llama.cpp, with an importance matrix and without', () => {
    for (const mixture of ALL) {
      const weighted = mixtureTypes(mixture, model, named);
      expect([mixture, Object.fromEntries(weighted.types)]).toEqual([mixture, listed(types[mixture])]);
      const unweighted = mixtureTypes(mixture, model, named, { isWeighted: false });
      const expected = listed(plain[mixture] ?? types[mixture]);
      expect([mixture, Object.fromEntries(unweighted.types)]).toEqual([mixture, expected]);
    }
  });

  it('reports every type that does not fit, as llama.cpp does', () => {
    for (const mixture of ALL) {
      const { types: given, fallbacks } = mixtureTypes(mixture, model, named);
      const expected = listed(wanted[mixture]);
      for (const { name, wanted: type, given: smaller } of fallbacks) {
        expect([name, smaller]).toEqual([name, given.get(name)]);
        // llama.cpp decides on a head's Q8_0 before it compares blocks
        if (/^(output|(per_layer_)?token_embd)\.weight$/.test(name)) continue;
        expect([mixture, name, type]).toEqual([mixture, name, expected[name]]);
      }
      const names = fallbacks.map(({ name }) => name);
      expect(names).toEqual(expect.arrayContaining(Object.keys(expected)));
    }
  });

  // that file has tensors of architectures that are not written
  if (title.startsWith('llama-others')) return;

  it('quantizes all that is not written as F32', () => {
    const { types: given } = mixtureTypes('Q4_K_M', model, named);
    const matrices = named.filter(({ name, shape }) => typeFor('F16', name, shape) !== 'F32');
    expect([...given.keys()].sort()).toEqual(matrices.map(({ name }) => name).sort());
  });
});

it('the order of tensors does not matter', () => {
  const random = seededRandom(3);
  const { metadata, tensors } = models['falcon-40b']!;
  const model = mixtureModel(new Map(Object.entries(metadata)));
  const named = tensors.map(([name, shape]) => ({ name, shape }));
  const shuffled = [...named].sort(() => random() - 0.5);
  for (const mixture of ALL)
    expect(new Map(mixtureTypes(mixture, model, shuffled).types)).toEqual(
      mixtureTypes(mixture, model, named).types,
    );
});

describe('GPT-Neo, which is no architecture of llama.cpp', () => {
  const MATRICES = {
    attn_q: [256, 256],
    attn_k: [256, 256],
    attn_v: [256, 256],
    attn_output: [256, 256],
    ffn_up: [1024, 256],
    ffn_down: [256, 1024],
  };
  const tensors = [
    { name: 'token_embd.weight', shape: [4096, 256] },
    ...Array.from({ length: 6 }, (_, layer) =>
      Object.entries(MATRICES).map(([stem, shape]) => ({ name: `blk.${layer}.${stem}.weight`, shape })),
    ).flat(),
  ];
  const model = { architecture: 'gptneo', layers: 6, experts: 0, heads: 8, keyValueHeads: 8 };
  const peers: { parameters: number; types: { type: string; bytes: number }[] } = JSON.parse(
    readFileSync(fixture('peers/ggml.json'), 'utf8'),
  );
  const bytesOf = (typeOf: (name: string) => string) =>
    tensors.reduce((sum, { name, shape }) => {
      const { blockBytes, blockElements } = typeNamed(typeOf(name));
      return sum + (elementCount(shape) / blockElements) * blockBytes - 2 * elementCount(shape);
    }, 2 * peers.parameters);
  const expected = (mixture: string) => peers.types.find(({ type }) => type === mixture)!.bytes;

  it.each(['Q8_0', 'Q6_K', 'Q5_K_M', 'Q4_K_M', 'IQ4_XS', 'Q4_0'] as const)(
    '%s: bytes of the peer',
    (mixture) => {
      const { types } = mixtureTypes(mixture, model, tensors);
      expect(bytesOf((name) => types.get(name)!)).toBe(expected(mixture));
    },
  );

  // fixtures/peers/README.md: values and down-projections of layers 2 and 5 alone, where llama.cpp raises more
  it.each([
    ['Q4_K_S', 'Q4_K', 'Q4_K', 3709952],
    ['Q3_K_M', 'Q3_K', 'Q4_K', 3380224],
    ['Q2_K', 'Q2_K', 'Q3_K', 2810880],
  ] as const)('%s: bytes of the peer, which raises less', (mixture, type, raised, bytes) => {
    const typeOf = (name: string) => {
      if (name === 'token_embd.weight') return 'Q6_K';
      return /^blk\.[25]\.(attn_v|ffn_down)/.test(name) ? raised : type;
    };
    expect(bytesOf(typeOf)).toBe(expected(mixture));
    const { types } = mixtureTypes(mixture, model, tensors);
    expect(bytesOf((name) => types.get(name)!)).toBe(bytes);
  });
});
