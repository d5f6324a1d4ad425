import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { generate } from '../src/evaluation/node/run.js';
import { type ChatMessage, renderChat } from '../src/tokenizer/chat-template.js';
import { DEADLINE } from '../src/tokenizer/deadline.js';
import { loadTokenizer } from '../src/tokenizer/tokenizer.js';
import { TINY, TOKENIZERS } from './helpers/fixtures.js';
import { refusalOf } from './helpers/logits.js';
import { MemoryModel } from './helpers/memory-model.js';

/** What transformers makes of a chat with templates in the manner of well-known models: scripts/fixtures/tokenizer_files.py. */
const { messages: CHAT, chats: CHATS } = JSON.parse(readFileSync(join(TOKENIZERS, 'chats.json'), 'utf8')) as {
  messages: ChatMessage[];
  chats: { name: string; template: string; text: string }[];
};
const NAMED = { bos_token: '<s>', eos_token: { content: '</s>' }, unk_token: '<unk>' };
const render = (template: string, messages: readonly ChatMessage[] = CHAT) =>
  renderChat(template, messages, NAMED, 'model');

describe('a chat template', () => {
  const { firstMs } = DEADLINE;
  beforeAll(() => {
    DEADLINE.firstMs = 200;
  });
  afterAll(() => {
    DEADLINE.firstMs = firstMs;
  });

  it.each(CHATS)('$name makes the text that transformers makes', async ({ template, text }) => {
    expect(await render(template)).toBe(text);
  });

  it.each([
    ['that is no Jinja', '{% if %}', /chat template: /],
    ['that refuses', "{{ raise_exception('Roles must\nalternate') }}", /chat template: Roles must$/],
    [
      'that never ends',
      '{% for a in range(90000) %}{% for b in range(90000) %}{% endfor %}{% endfor %}',
      /took over 0.20?\d* s/,
    ],
    [
      'that counts far',
      '{% for a in range(1000000000) %}{% endfor %}',
      /range of 1000000000, over the limit/,
    ],
    ['that is deep', `{{ ${'('.repeat(100_000)} }}`, /chat template: .*call stack/],
    [
      'that doubles a text',
      "{% set n = namespace(t='aaaaaaaa') %}{% for i in range(60) %}{% set n.t = n.t + n.t %}{% endfor %}{{ n.t }}",
      /chat template: .*string length/,
    ],
    ['that is long', 'a'.repeat(2 ** 20 + 1), /characters, over the limit/],
    ['that looks around', '{{ messages.constructor.constructor("return process")() }}', /chat template: /],
  ])('%s is one clear line', async (_, template, message) => {
    const refusal = await refusalOf(() => render(template));
    expect(refusal).toMatch(message);
    expect(refusal).toMatch(/^model: chat template: [^\n]*$/);
  });

  it.each([
    ['no message', [], /at least one message/],
    ['no content', [{ role: 'user' }], /role and content, found {"role":"user"}/],
  ])('%s is refused', async (_, messages, expected) => {
    expect(await refusalOf(() => render('', messages as ChatMessage[]))).toMatch(expected);
  });
});

describe('generation in a chat', () => {
  const TEMPLATE =
    '{{ bos_token }}{% for m in messages %}[{{ m.role }}] {{ m.content }}{{ eos_token }}\n{% endfor %}[assistant]';
  const QUESTION = 'Who is there?';
  const messages = [{ role: 'user', content: QUESTION }];
  const TEXT = `<|endoftext|>[user] ${QUESTION}<|endoftext|>\n[assistant]`;
  /** The trained model with more in its tokenizer_config.json, and more files. */
  async function withTemplate(config: object, files: Record<string, string> = {}): Promise<MemoryModel> {
    const source = await MemoryModel.of(TINY);
    const model = new MemoryModel(source.config, source.byName);
    for (const { name, read } of source.sideFiles) {
      const content = await read();
      if (name !== 'tokenizer_config.json') model.addFile(name, content);
      else
        model.addFile(name, JSON.stringify({ ...JSON.parse(new TextDecoder().decode(content)), ...config }));
    }
    for (const [name, content] of Object.entries(files)) model.addFile(name, content);
    return model;
  }
  const ask = (model: MemoryModel, prompt: Parameters<typeof generate>[1], options = {}) =>
    generate(model as never, prompt, { maxTokens: 4, endTokens: [], ...options });

  it.each([
    ['tokenizer_config.json', { chat_template: TEMPLATE }, {}],
    [
      'one of several there',
      {
        chat_template: [
          { name: 'tools', template: 'x' },
          { name: 'default', template: TEMPLATE },
        ],
      },
      {},
    ],
    ['chat_template.jinja', { chat_template: 'x' }, { 'chat_template.jinja': TEMPLATE }],
    ['chat_template.json', {}, { 'chat_template.json': JSON.stringify({ chat_template: TEMPLATE }) }],
  ])(
    'continues what the template of %s makes, special tokens as such and none twice',
    async (_, config, files) => {
      const model = await withTemplate(config, files as Record<string, string>);
      const tokenizer = await loadTokenizer(model as never);
      const ids = tokenizer.encode(TEXT);
      expect(ids.filter((id) => id === tokenizer.endToken).length).toBe(2);
      const expected = await ask(model, ids);
      const found = await ask(model, messages);
      expect(found.tokens).toEqual(expected.tokens);
      expect(found.promptTokens).toBe(ids.length);
      expect(found.text).toBe(tokenizer.decode(expected.tokens));
      expect((await ask(model, QUESTION, { chat: true })).tokens).toEqual(expected.tokens);
    },
  );

  it('ends with the end of a turn if the template writes it', async () => {
    const plain = await withTemplate({ chat_template: TEMPLATE });
    const [first] = (await ask(plain, messages)).tokens;
    const file = plain.sideFiles.find(({ name }) => name === 'tokenizer.json')!;
    const definition = JSON.parse(new TextDecoder().decode(await file.read()));
    const { vocab } = definition.model;
    delete vocab[Object.keys(vocab).find((token) => vocab[token] === first)!];
    definition.added_tokens.push({ id: first, content: '<|im_end|>', special: true });
    const renamed = async (template: string) => {
      const model = await withTemplate({ chat_template: template });
      const index = model.sideFiles.findIndex(({ name }) => name === 'tokenizer.json');
      (model.sideFiles as unknown[]).splice(index, 1);
      model.addFile('tokenizer.json', JSON.stringify(definition));
      return generate(model as never, messages, { maxTokens: 2 });
    };
    expect(await renamed(`${TEMPLATE}{# <|im_end|> #}`)).toMatchObject({ stopped: 'end', tokens: [] });
    expect((await renamed(TEMPLATE)).tokens[0]).toBe(first);
  });

  it('is refused without a template, and for token ids', async () => {
    const model = await withTemplate({});
    expect(await refusalOf(() => ask(model, QUESTION, { chat: true }))).toMatch(
      /^model: has no chat template: /,
    );
    expect(await refusalOf(() => ask(model, [1, 2], { chat: true }))).toMatch(/found token ids/);
  });
});
