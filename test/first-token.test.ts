// Where a tokenizer puts a token before every text, it is the first of every window too.
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Model } from '../src/core/model.js';
import { evaluateWith } from '../src/evaluation/evaluate.js';
import { loadRuntime } from '../src/onnx/node/runtime.js';
import { loadTokenizer } from '../src/tokenizer/tokenizer.js';
import { FAMILIES } from './helpers/fixtures.js';
import { MemoryModel } from './helpers/memory-model.js';

const nodeRuntime = await loadRuntime();
const [FIRST, LAST] = [1, 2];
const TEXT = 'the quick brown fox jumps over the lazy dog, and then it rests for a while in the shade';

/** A tiny model with a token for each printable character, and special tokens before and after a text. */
async function modelWith(template: readonly string[]): Promise<Model> {
  const memory = await MemoryModel.of(join(FAMILIES, 'llama_bias'));
  const tokens = Array.from({ length: 96 }, (_, id) => (id ? String.fromCharCode(31 + id) : '<unk>'));
  tokens[FIRST] = '<s>';
  tokens[LAST] = '</s>';
  tokens[3] = '\u0120';
  const part = (name: string) =>
    name === 'A' ? { Sequence: { id: 'A', type_id: 0 } } : { SpecialToken: { id: name, type_id: 0 } };
  const special = (name: string, id: number) => ({ id: name, ids: [id], tokens: [name] });
  const definition = {
    version: '1.0',
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
    post_processor: {
      type: 'TemplateProcessing',
      single: template.map(part),
      pair: template.map(part),
      special_tokens: { '<s>': special('<s>', FIRST), '</s>': special('</s>', LAST) },
    },
    decoder: null,
    model: {
      type: 'BPE',
      unk_token: '<unk>',
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges: [],
    },
  };
  memory.addFile('tokenizer.json', JSON.stringify(definition));
  return memory as unknown as Model;
}

describe('the first token of a window', () => {
  it.each([
    [['<s>', 'A'], FIRST],
    [['A', '</s>'], undefined],
    [['<s>', 'A', '</s>'], undefined],
    [['A'], undefined],
  ])('with the template %j is %s', async (template, expected) => {
    const model = await modelWith(template);
    const tokenizer = await loadTokenizer(model);
    expect(tokenizer.firstToken).toBe(expected);
    const ids = tokenizer.encode(TEXT);
    const windows = [0, 1, 2].map((i) => ids.slice(i * 24, (i + 1) * 24));
    if (expected !== undefined) for (const window of windows) window[0] = expected;
    const own = await evaluateWith(nodeRuntime, {} as never, model, { text: TEXT, window: 24 });
    const same = await evaluateWith(nodeRuntime, {} as never, model, { tokens: windows.flat(), window: 24 });
    expect(own.windows).toBe(3);
    expect(own.nll.mean).toBe(same.nll.mean);
  });
});
