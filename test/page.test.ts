// @module-tag slow
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { page as reportPage } from '../src/experiments/page.js';
import { auditFile, inspect } from '../src/index.js';
import { CHROMIUM, launch } from './helpers/chromium.js';
import { weightpress } from './helpers/cli.js';
import { FIXTURES } from './helpers/fixtures.js';
import { needs } from './helpers/needs.js';
import { builtPage, drop, LOSSY, openedPage, sound, tab, violations } from './helpers/page.js';
import { folder } from './helpers/safetensors.js';
import { seedArtifact } from './helpers/seed-artifact.js';
import { serve, USUAL } from './helpers/web-server.js';

const NO_MODEL = Buffer.from('this is no model, but long enough to be looked at');
const place = folder();

describe('the page', needs(CHROMIUM, 'Chromium'), () => {
  const behavior = { ...USUAL };
  let server: Awaited<ReturnType<typeof serve>>;
  let browser: Browser;
  let page: Page;
  const errors: string[] = [];

  beforeAll(async () => {
    writeFileSync(join(place, 'other.wpk'), NO_MODEL);
    server = await serve(builtPage(), behavior);
    browser = await launch();
    page = await openedPage(browser, `${server.address}/index.html`, { width: 360, errors });
  }, 120_000);
  afterAll(async () => {
    await browser?.close();
    server?.close();
  });
  beforeEach(() => void Object.assign(behavior, USUAL));

  async function choose(path: string, on = page): Promise<void> {
    await on.locator('#file').setInputFiles(path);
  }

  it('shows the bundled model: parts that sum to the file, where it is from, its license, its loss', async () => {
    const { fileBytes, generator, tensors } = await inspect(LOSSY);
    const cells = await page.locator('#roles td:nth-child(2)').allTextContents();
    expect(cells.map((text) => Number(text.replaceAll(',', ''))).reduce((a, b) => a + b, 0)).toBe(fileBytes);
    const facts = await page.locator('#facts').textContent();
    expect(facts).toContain(generator);
    expect(facts).toMatch(/licensecc0-1.0 \(README.md\)/);
    expect(await page.locator('#loss').textContent()).toMatch(/KL divergence[\d.]+|was not measured/);
    await tab(page, 'Tensors');
    expect(await page.locator('#found').textContent()).toMatch(`${tensors.length} tensors`);
  });

  it('says how it was compressed in words', async () => {
    const { options } = await inspect(LOSSY);
    const { bits } = options.budget as { bits: number };
    expect(await page.locator('#facts').textContent()).toContain(
      `compressedtrellis, ${bits} bits per weight`,
    );
  });

  it('draws how the weights of a tensor lie on its grid, and of another when asked', async () => {
    const caption = page.locator('#histogram figcaption');
    await page.locator('#search').fill('mlp.c_fc.weight');
    await page.getByRole('button', { name: 'transformer.h.1.mlp.c_fc.weight' }).click();
    await page.locator('#histogram svg[aria-label*="h.1.mlp.c_fc"]').waitFor();
    expect(await caption.textContent()).toMatch(
      /^65,536 values.* levels in steps: even ones of one quantizer/,
    );
    await page.getByRole('button', { name: 'Close' }).click();
    await page.locator('#search').fill('ln_f weight');
    await page.getByRole('button', { name: 'transformer.ln_f.weight' }).click();
    await page.locator('#histogram svg[aria-label*="transformer.ln_f.weight"]').waitFor();
    expect(await caption.textContent()).toBe('128 values.');
    await page.getByRole('button', { name: 'Close' }).click();
  });

  it('fits a phone without scrolling sideways', async () => {
    for (const name of ['Overview', 'Tensors', 'Map', 'Metadata', 'Generate', 'Audit']) {
      await tab(page, name);
      const [wide, view] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
      expect(wide, name).toBeLessThanOrEqual(view!);
    }
  });

  it('continues a prompt, by keyboard alone, and says how fast', async () => {
    await page.getByRole('tab', { name: 'Tensors' }).focus();
    for (let i = 0; i < 3; i++) await page.keyboard.press('ArrowRight');
    await page.getByRole('textbox', { name: 'Prompt' }).fill('The');
    await page.getByLabel('Tokens', { exact: true }).fill('30');
    await page.getByRole('textbox', { name: 'Prompt' }).focus();
    for (let i = 0; i < 6; i++) await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await page.getByText(/30 tokens, [\d.]+ tokens per second/).waitFor({ timeout: 60_000 });
    expect((await page.locator('.text').textContent())!.length).toBeGreaterThan(20);
  }, 90_000);

  it('shows two files side by side and marks the tokens that differ', async () => {
    await page.getByText('Beside another .wpk').click();
    await page.getByLabel(/compare with another file/).check();
    await page.getByLabel('Temperature').fill('1.5');
    const compare = async (other: string) => {
      await page.getByLabel('Address of the other').fill(other);
      await page.getByRole('button', { name: 'Continue' }).click();
      const said = page.locator('#difference', { hasText: /identical/ });
      await said.waitFor({ timeout: 60_000 });
      return [await said.textContent(), await page.locator('mark').count()] as const;
    };
    expect(await compare('tiny.wpk')).toEqual(['All 30 tokens are identical.', 0]);
    const [said, marked] = await compare('tiny-lossless.wpk');
    const [, same, differing] = /first (\d+) tokens are identical; (\d+) of 30 positions differ/.exec(said!)!;
    expect(marked).toBe(Number(differing));
    expect(marked).toBeGreaterThan(0);
    expect(await page.locator('.text').nth(1).locator('span.given ~ *').nth(Number(same)).textContent()).toBe(
      await page.locator('mark').first().textContent(),
    );
    await page.getByLabel(/compare with another file/).uncheck();
  }, 120_000);

  it('stops when it is told to, and writes again', async () => {
    const session = await page.context().newCDPSession(page);
    await session.send('Emulation.setCPUThrottlingRate', { rate: 10 });
    await page.getByLabel('Tokens', { exact: true }).fill('1000');
    await page.getByRole('button', { name: 'Continue' }).click();
    await page.getByRole('button', { name: 'Stop' }).click();
    await page.locator('#stop:disabled').waitFor();
    expect(await page.locator('.text span').count()).toBeLessThan(200);
    await session.send('Emulation.setCPUThrottlingRate', { rate: 1 });
    await page.getByLabel('Tokens', { exact: true }).fill('3');
    await page.getByRole('button', { name: 'Continue' }).click();
    await page.getByText(/3 tokens, [\d.]+ tokens per second/).waitFor();
  }, 60_000);

  it('says in words what is wrong, and takes the next', async () => {
    const bytes = readFileSync(LOSSY);
    const wrong: [string, Uint8Array, RegExp][] = [
      [
        'damaged.wpk',
        bytes.with(bytes.length >> 1, bytes[bytes.length >> 1]! ^ 1),
        /damaged\.wpk.*bytes \d+/,
      ],
      ['cut.wpk', bytes.subarray(0, -500), /cut\.wpk.*truncated/],
      ['other.wpk', NO_MODEL, /not a \.wpk file/],
      ['other.txt', NO_MODEL, /not a model/],
      ['calls.pkl', Buffer.from('\x80\x04cos\nsystem\n(S"true"\ntR.', 'latin1'), /os.system/],
      ['bomb.safetensors', Buffer.alloc(64, 0xff), /bomb\.safetensors/],
    ];
    for (const [name, content, message] of wrong) {
      writeFileSync(join(place, name), content);
      await choose(join(place, name));
      await page.locator('#status.wrong', { hasText: message }).waitFor({ timeout: 20_000 });
      expect((await page.locator('#status').textContent())!.split('\n')).toHaveLength(1);
      await choose(LOSSY);
      await sound(page, 'tiny.wpk');
    }
    await page.getByLabel('A model on the Hub').fill('absent.wpk');
    await page.getByRole('button', { name: 'Open', exact: true }).click();
    await page.locator('#status.wrong', { hasText: /404/ }).waitFor();
    expect(errors.filter((text) => !/404/.test(text))).toEqual([]); // which the browser says by itself
    errors.length = 0;
  }, 120_000);

  it('never says that nothing was lost of a file that it finds damaged', async () => {
    const lossless = readFileSync('web/public/tiny-lossless.wpk');
    await choose(LOSSY);
    await sound(page, 'tiny.wpk');
    await tab(page, 'Overview');
    for (const [name, bytes] of [
      ['flipped.wpk', readFileSync(LOSSY)],
      ['flipped-lossless.wpk', lossless],
    ] as const) {
      const damaged = bytes.with(bytes.length >> 1, bytes[bytes.length >> 1]! ^ 1);
      writeFileSync(join(place, name), damaged);
      await choose(join(place, name));
      await page.locator('#loss .damaged').waitFor({ timeout: 20_000 });
      expect(await page.locator('#loss').textContent()).toMatch(/The file is damaged/);
      expect(await page.locator('main').textContent()).not.toMatch(
        /lossless:|every byte of the original|KL div/i,
      );
    }
    writeFileSync(join(place, 'good.wpk'), lossless);
    await choose(join(place, 'good.wpk'));
    await sound(page, 'good.wpk');
    expect(await page.locator('#loss').textContent()).toMatch(/^Lossless: every byte/);
    await choose(LOSSY);
    await sound(page, 'tiny.wpk');
    errors.length = 0;
  }, 60_000);

  it('runs no script but its own, wherever one comes from', async () => {
    const ran = await page.evaluate(() => {
      const script = document.createElement('script');
      script.textContent = 'globalThis.ran = true';
      document.body.append(script);
      document.body.insertAdjacentHTML('beforeend', '<img src="data:," onerror="globalThis.ran = true">');
      const ran = new Promise((resolve) => setTimeout(() => resolve('ran' in globalThis), 300));
      return ran.finally(() => document.querySelector('img')?.remove());
    });
    expect(ran).toBe(false);
    const [refused, others] = [errors.filter((text) => /Content Security Policy/.test(text)), errors];
    expect(refused.length).toBeGreaterThanOrEqual(1);
    expect(others).toEqual(refused);
    errors.length = 0;
  });

  it('and a report of lab runs none at all, and looks as it should', async () => {
    const report = await browser.newPage();
    const said: string[] = [];
    report.on('console', (message) => said.push(message.text()));
    const html = reportPage('report', '<h1>1</h1><p style="color: rgb(1, 2, 3)">2</p>');
    await report.setContent(html);
    const color = () => report.evaluate(() => getComputedStyle(document.querySelector('p')!).color);
    expect(await color()).toBe('rgb(1, 2, 3)');
    expect(said).toEqual([]);
    await report.setContent(html.replace('<h1>', '<script>document.title = "ran"</script><h1>'));
    expect(await report.title()).toBe('report');
    expect(said.join()).toMatch(/Content Security Policy/);
    await report.close();
  });

  it('opens what is dropped on it, and what a server without ranges sends', async () => {
    await drop(page, 'dropped.wpk', readFileSync('web/public/tiny-lossless.wpk'));
    await page.getByText('dropped.wpk: all checksums match').waitFor();
    expect(await page.locator('#loss').textContent()).toMatch(/Lossless: every byte of the original/);
    behavior.ranges = 'ignored';
    await page.getByLabel('A model on the Hub').fill('tiny.wpk');
    await page.getByRole('button', { name: 'Open', exact: true }).click();
    await page.getByText('tiny.wpk: all checksums match').waitFor();
  }, 60_000);

  it('keeps a file when it is asked to, says so, and forgets it', async () => {
    await page.getByText('Files cached in this browser').click();
    await page.getByLabel('cache what is opened next').check();
    await page.getByRole('button', { name: 'Open', exact: true }).click();
    await page.locator('#cached-files li', { hasText: 'tiny.wpk' }).waitFor();
    await page.getByRole('button', { name: /Remove .*tiny\.wpk/ }).click();
    await page.locator('#cached-files li', { hasText: 'None.' }).waitFor();
    await page.getByLabel('cache what is opened next').uncheck();
  });

  describe('audits what is dropped, with the same words as the command line', () => {
    const audited = async () => {
      await page.getByText(/contradicted in|statements contradicted/).waitFor({ timeout: 60_000 });
      return page
        .locator('#statements li')
        .evaluateAll((items) =>
          items.map((item) => [...item.querySelectorAll('p')].map(({ textContent }) => textContent)),
        );
    };
    const expected = async (path: string) =>
      (await auditFile(path)).statements
        .toSorted((a, b) => Number(b.verdict === 'contradicted') - Number(a.verdict === 'contradicted'))
        .map(({ claim, verdict, because }) => [`${verdict}: ${claim}`, because]);

    it('safetensors', async () => {
      await choose('examples/gpt-neo-tiny/model.safetensors');
      await page.getByText('only headers were read').waitFor();
      await tab(page, 'Audit');
      await page.getByRole('button', { name: 'Audit this file' }).click();
      expect(await audited()).toEqual(await expected('examples/gpt-neo-tiny/model.safetensors'));
    }, 120_000);

    it('the pickle that claims 853:1', async () => {
      const path = join(place, 'seed.pkl.gz');
      writeFileSync(path, seedArtifact());
      await choose(path);
      await page.getByText('seed.pkl.gz: audited').waitFor({ timeout: 60_000 });
      const statements = await audited();
      // the last digits of exp and sin are each engine's own
      const compared = (list: (string | null)[][]) =>
        JSON.stringify(list).replaceAll(/error up to [\d.e-]+/g, '');
      expect(compared(statements)).toBe(compared(await expected(path)));
      expect(statements.filter(([title]) => title!.startsWith('contradicted'))).toHaveLength(7);
      expect(await violations(page)).toEqual([]);
    }, 120_000);

    it('a .wpk that is open', async () => {
      await choose(LOSSY);
      await sound(page, 'tiny.wpk');
      await tab(page, 'Audit');
      await page.getByRole('button', { name: 'Audit this file' }).click();
      await page.getByText(/nothing contradicted/).waitFor({ timeout: 60_000 });
      const titles = await page.locator('#statements li p:first-child').allTextContents();
      expect(titles).toEqual((await expected(LOSSY)).map(([title]) => title));
    }, 120_000);
  });

  it.each([
    [1280, 'light'],
    [1280, 'dark'],
    [390, 'light'],
    [390, 'dark'],
  ] as const)(
    'has nothing that axe objects to, and nothing moves: %s pixels, %s',
    { tags: 'slow' },
    async (width, scheme) => {
      const options = { width, colorScheme: scheme, errors };
      const other = await openedPage(browser, `${server.address}/index.html`, options);
      const found: Record<string, string[]> = { overview: await violations(other) };
      await tab(other, 'Tensors');
      await other.locator('#tensor-table tbody button').nth(1).click();
      await other.locator('#histogram svg').waitFor();
      found.tensors = await violations(other);
      if (width < 900) await other.getByRole('button', { name: 'Close' }).click();
      await tab(other, 'Map');
      await other.locator('#map').hover();
      found.map = await violations(other);
      await tab(other, 'Metadata');
      found.metadata = await violations(other);
      await tab(other, 'Generate');
      await other.getByText('Beside another .wpk').click();
      await other.getByLabel(/compare with another file/).check();
      await other.getByLabel('Tokens', { exact: true }).fill('20');
      await other.getByRole('button', { name: 'Continue' }).click();
      await other.locator('#difference', { hasText: /identical/ }).waitFor({ timeout: 60_000 });
      found.beside = await violations(other);
      await tab(other, 'Audit');
      await other.getByRole('button', { name: 'Audit this file' }).click();
      await other.getByText(/nothing contradicted/).waitFor({ timeout: 60_000 });
      found.audited = await violations(other);
      const moved = await other.evaluate(() => (globalThis as unknown as { shifts: unknown[] }).shifts);
      await choose(join(place, 'other.wpk'), other);
      await other.locator('#status.wrong').waitFor();
      found.wrong = await violations(other);
      await choose('examples/gpt-neo-tiny/model.safetensors', other);
      await other.getByText('only headers were read').waitFor();
      await tab(other, 'Generate');
      found.unrunnable = await violations(other);
      await other.close();
      expect(Object.entries(found).filter(([, problems]) => problems.length)).toEqual([]);
      expect(moved).toEqual([]);
    },
  );

  it('shows a model that cannot write, and says why', async () => {
    const path = join(place, 'roberta.wpk');
    weightpress('compress', join(FIXTURES, 'roberta'), '-o', path);
    await choose(path);
    await sound(page, 'roberta.wpk');
    await tab(page, 'Generate');
    await page.getByText(/Cannot generate text: .*masked language models cannot continue text/).waitFor();
  }, 60_000);

  it('asks a model that has a chat template, and continues the text where that is not wanted', async () => {
    const chat = join(place, 'chat');
    cpSync('examples/gpt-neo-tiny', chat, { recursive: true });
    const template = '{% for m in messages %}Q: {{ m.content }}\nA:{% endfor %}';
    writeFileSync(join(chat, 'chat_template.jinja'), template);
    const path = join(place, 'chat.wpk');
    weightpress('compress', chat, '-o', path);
    await choose(path);
    await sound(page, 'chat.wpk');
    await tab(page, 'Generate');
    await page.locator('#temperature').fill('0');
    await page.locator('#most').fill('8');
    await page.locator('#text').fill('Who is it?');
    const written = async () => {
      await page.locator('#continue').click();
      await page.getByText(/^8 tokens, /).waitFor({ timeout: 60_000 });
      return page.locator('#texts .text').textContent();
    };
    const of = (...args: string[]) =>
      JSON.parse(weightpress('generate', chat, 'Who is it?', '--tokens', '8', '--json', ...args).stdout).text;
    expect(await written()).toBe(`Who is it?\n\n${of('--chat')}`);
    expect(await violations(page)).toEqual([]);
    await page.locator('#chat').uncheck();
    expect(await written()).toBe(`Who is it?${of()}`);
    await page.locator('#chat').check();
    await choose(LOSSY);
    await sound(page, basename(LOSSY));
    expect(await page.locator('#chat-choice').isVisible()).toBe(false);
  }, 90_000);

  it('opens a .wpk that holds a quantized GGUF, checks all of it and runs it', async () => {
    const [gguf, path] = [join(place, 'llama.gguf'), join(place, 'llama-q8.wpk')];
    weightpress('decompress', join(FIXTURES, 'llama'), '-o', gguf, '--format', 'gguf', '--dtype', 'Q8_0');
    weightpress('compress', gguf, '-o', path);
    await choose(path);
    const said = await page.getByText('llama-q8.wpk: all checksums match').textContent();
    const { tensorBytes } = await inspect(path);
    expect(Number(/([\d,]+) bytes decoded/.exec(said!)![1]!.replaceAll(',', ''))).toBe(tensorBytes);
    await tab(page, 'Generate');
    await page.locator('#continue:enabled').waitFor();
  }, 60_000);

  it('computes on a GPU where there is one', { tags: 'slow' }, async () => {
    const other = await launch({ gpu: true });
    const gpuPage = await other.newPage();
    await gpuPage.goto(`${server.address}/index.html`);
    await sound(gpuPage);
    await tab(gpuPage, 'Generate');
    await gpuPage.getByLabel('Tokens', { exact: true }).fill('5');
    await gpuPage.getByRole('button', { name: 'Continue' }).click();
    await gpuPage.getByText(/5 tokens, .*\(webgpu\)/).waitFor({ timeout: 60_000 });
    await other.close();
  });

  it('asks nobody but its own server, and nothing went wrong unsaid', async () => {
    const origins = await page.evaluate(() => [
      ...new Set(performance.getEntriesByType('resource').map(({ name }) => new URL(name).origin)),
    ]);
    expect(origins.filter((origin) => origin !== server.address && origin !== 'null')).toEqual([]);
    expect(errors).toEqual([]);
  });
});
