import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { plainJson, plainLine, plainMarkdown, plainText } from '../src/core/plain-text.js';
import { inspect } from '../src/index.js';
import { modelCard } from '../src/operations/push/card.js';
import { weightpress } from './helpers/cli.js';
import { folder, safetensors } from './helpers/safetensors.js';

// What stands in files reaches terminals and pages as text and nothing else.

/** Moves the cursor, sets a title, turns text around, hides it, ends lines. */
const HOSTILE = [
  '\u001b[2J\u001b[1;1H',
  '\u001b]0;title\u0007',
  '\u009b31m',
  '\u202ereversed\u202c',
  '\u2066isolated\u2069',
  '\u200f',
  '\u061c',
  '\ufeff',
  '\u{e0041}',
  'one\rtwo\nthree\u2028four\u0085five',
  '\u0000\u0008\u007f',
].join('x');
const MARKUP = '<img src=x onerror=alert(1)> [a](javascript:b) `c` | *d* _e_ \\| ![f](g)';

const unsafe = /[\p{Bidi_Control}\u2028\u2029\ufeff\u{e0000}-\u{e007f}]|(?![\n\t])\p{Cc}/u;

test('a line is a line: nothing in it moves, reorders or hides anything', () => {
  expect(plainLine(HOSTILE)).not.toMatch(unsafe);
  expect(plainLine(HOSTILE)).not.toContain('\n');
  expect(plainLine(HOSTILE)).toContain('one two three four five');
  expect(plainText(`a\n\tb${HOSTILE}`)).not.toMatch(unsafe);
  expect(plainText('a\n\tb')).toBe('a\n\tb');
  for (const text of ['naïve — 中文 עברית عربى', '👩‍👩‍👧', 'a-b_c.d/e [1, 2]', 'می‌خواهم'])
    expect(plainLine(text)).toBe(text);
});

test('JSON is the same value, whatever is in it', () => {
  const value = { [HOSTILE]: [HOSTILE, 'plain'] };
  const json = plainJson(JSON.stringify(value, null, 2));
  expect(json).not.toMatch(unsafe);
  expect(JSON.parse(json)).toEqual(value);
});

test('Markdown is text: no link, no HTML, no cell', () => {
  const text = plainMarkdown(MARKUP);
  expect(text).not.toMatch(/<|>|(?<!\\)[[\]`|*_]/);
  expect(text).toContain('&lt;img src=x');
});

describe('what a file says', () => {
  const data = new Uint8Array(Float32Array.from({ length: 4096 }, (_, i) => Math.sin(i)).buffer);
  const model = folder({
    'model.safetensors': safetensors([{ name: `w${HOSTILE}`, dtype: 'F32', shape: [64, 64], data }]),
    'config.json': JSON.stringify({ model_type: HOSTILE, architectures: [HOSTILE] }),
    'README.md': `---\nlicense: ${JSON.stringify(`mit ${HOSTILE}`)}\n---\n`,
  });
  const output = join(model, 'named', `a${MARKUP.replaceAll(/[/|]/g, '')}.wpk`);
  beforeAll(() => {
    mkdirSync(join(model, 'named'));
    expect(weightpress('compress', model, '-o', output)).toMatchObject({ status: 0, stderr: '' });
  });

  test.each<[string, string[]]>([
    ['analyze', [model, '--tensors']],
    ['analyze', [model, '--tensors', '--json']],
    ['compress', [model, '-o', output, '--force']],
    ['inspect', [output, '--tensors']],
    ['inspect', [output, '--tensors', '--json']],
    ['verify', [output, '--against', model]],
    ['audit', [output]],
    ['catalog', [join(model, 'named')]],
    ['catalog', [join(model, 'named'), '--markdown']],
    ['generate', [model, 'The']],
    ['evaluate', [model, '--text', 'examples/held-out.txt']],
  ])('%s prints it as text: %j', async (command, args) => {
    const { stdout, stderr, status } = weightpress(command, ...args);
    expect(stdout + stderr).not.toMatch(unsafe);
    expect([0, 1, 2]).toContain(status);
    expect(stderr).not.toMatch(/^\s+at /m);
    expect((stdout + stderr).length).toBeGreaterThan(0);
  });

  test('catalog --markdown and the card of push let no markup of it through', async () => {
    const table = weightpress('catalog', join(model, 'named'), '--markdown').stdout;
    expect(table.trim().split('\n')).toHaveLength(3);
    expect(table).not.toContain('<img');
    const summary = await inspect(output);
    const named = { ...summary, source: `${MARKUP}\n# ${HOSTILE}`, generator: MARKUP };
    const license = { id: MARKUP, from: 'README.md', fields: { license: MARKUP } };
    const card = modelCard('user/name', `${MARKUP}\n.wpk`, named as never, license as never);
    const body = card.slice(card.indexOf('-->'));
    const [fenced = ''] = /```sh\n[^`]*```/.exec(body) ?? [];
    expect(fenced.split('\n')).toHaveLength(4);
    expect(fenced.match(/'user\/name\/[^']*'/g)).toHaveLength(2);
    // what is left of it stands between backticks, on its line
    for (const line of body.replace(fenced, '').split('\n')) {
      expect(line.replaceAll(/`[^`]*`/g, '')).not.toMatch(/<img|\[a\]/);
      if (line.startsWith('|')) expect(line.match(/\|/g)).toHaveLength(3);
    }
    expect(body.match(/^#/gm)).toHaveLength(2);
    expect(card).not.toMatch(unsafe);
  });
});

test('a file that is no model is refused, or kept as bytes, by a message that is plain', () => {
  const place = folder({});
  writeFileSync(join(place, 'config.json'), `{"a": ${HOSTILE}`);
  writeFileSync(join(place, 'model.safetensors'), `${HOSTILE}`.padEnd(100));
  const { stderr, status } = weightpress('analyze', place);
  expect(status).toBe(2);
  expect(stderr.trim().split('\n')).toHaveLength(1);
  expect(stderr).not.toMatch(unsafe);
  const kept = weightpress('compress', place, '-o', join(place, 'x.wpk'));
  expect(kept.stdout).toMatch(/stored as bytes: model\.safetensors/);
  expect(kept.stdout).not.toMatch(unsafe);
});
