// @module-tag slow
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { page as reportPage } from '../src/experiments/page.js';
import { auditFile, inspect } from '../src/index.js';
import { CHROMIUM, launch } from './helpers/chromium.js';
import { weightpress } from './helpers/cli.js';
import { FIXTURES } from './helpers/fixtures.js';
import { needs } from './helpers/needs.js';
import { folder } from './helpers/safetensors.js';
import { seedArtifact } from './helpers/seed-artifact.js';
import { serve, USUAL } from './helpers/web-server.js';

const BUILT = 'dist/page';
const LOSSY = 'web/public/tiny.wpk';
const NO_MODEL = Buffer.from('this is no model, but long enough to be looked at');
const place = folder();

describe('the page', needs(CHROMIUM, 'Chromium'), () => {
  const behavior = { ...USUAL };
  let server: Awaited<ReturnType<typeof serve>>;
  let browser: Browser;
  let page: Page;
  const errors: string[] = [];

  beforeAll(async () => {
    // the models that it opens by itself, without the time that calibration takes
    mkdirSync('web/public', { recursive: true });
    if (!existsSync(LOSSY)) {
      const flags = ['--bits', '4', '--no-calibration'];
      weightpress('compress', 'examples/gpt-neo-tiny', '-o', LOSSY, ...flags);
    }
    execFileSync('node_modules/.bin/vite', ['build', 'web', '--logLevel', 'error']);
    const files = new Map<string, Uint8Array>();
    for (const entry of readdirSync(BUILT, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name);
      if (entry.isFile()) files.set(`/${path.slice(BUILT.length + 1)}`, readFileSync(path));
    }
    writeFileSync(join(place, 'other.wpk'), NO_MODEL);
    server = await serve(files, behavior);
    browser = await launch();
    page = await opened(360);
  }, 120_000);
  afterAll(async () => {
    await browser?.close();
    server?.close();
  });
  beforeEach(() => void Object.assign(behavior, USUAL));

  const sound = (on = page) => on.getByText('all checksums match').waitFor({ timeout: 60_000 });

  /** A page as wide, its model decoded; layout shifts are noted from the start. */
  async function opened(width: number, colorScheme: 'light' | 'dark' = 'light'): Promise<Page> {
    const made = await browser.newPage({ viewport: { width, height: 740 }, colorScheme });
    made.on('pageerror', (error) => errors.push(error.message));
    made.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
    await made.addInitScript(() => {
      interface Shift {
        value: number;
        hadRecentInput: boolean;
        sources: { node?: Element }[];
      }
      const shifts: [number, string[]][] = [];
      Object.assign(globalThis, { shifts });
      new PerformanceObserver((list) => {
        for (const { value, hadRecentInput, sources } of list.getEntries() as unknown as Shift[])
          if (!hadRecentInput)
            shifts.push([value, sources.map(({ node }) => `${node?.id || node?.nodeName}`)]);
      }).observe({ type: 'layout-shift', buffered: true });
    });
    await made.goto(`${server.address}/index.html`);
    await sound(made);
    return made;
  }

  async function choose(path: string, on = page): Promise<void> {
    await on.locator('#file').setInputFiles(path);
  }

  /** What axe finds wrong. */
  async function violations(on: Page): Promise<string[]> {
    await on.evaluate(readFileSync('node_modules/axe-core/axe.min.js', 'utf8')); // which the page's policy keeps out
    return on.evaluate(async () => {
      type Axe = {
        run(): Promise<{ violations: { id: string; nodes: { html: string; failureSummary: string }[] }[] }>;
      };
      const { violations } = await (globalThis as unknown as { axe: Axe }).axe.run();
      return violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html.slice(0, 200)}`));
    });
  }

  it('shows the bundled model: parts that sum to the file, where it is from, its license, its loss', async () => {
    const { fileBytes, generator, tensors } = await inspect(LOSSY);
    const cells = await page.locator('#roles td:nth-child(2)').allTextContents();
    expect(cells.map((text) => Number(text.replaceAll(',', ''))).reduce((a, b) => a + b, 0)).toBe(fileBytes);
    const facts = await page.locator('#facts').textContent();
    expect(facts).toContain(generator);
    expect(facts).toMatch(/licensecc0-1.0 \(README.md\)/);
    expect(await page.locator('#loss').textContent()).toMatch(/KL divergence[\d.]+|was not measured/);
    expect(await page.locator('#all tr').count()).toBe(tensors.length);
    expect(await page.locator('#tensors svg').count()).toBe(3);
  });

  it('draws how the weights of a tensor lie on its grid, and of another when asked', async () => {
    const caption = page.locator('#histogram figcaption');
    expect(await caption.textContent()).toMatch(/\d+ levels: even ones of one quantizer/);
    await page.getByLabel(/Histogram of the tensor/).selectOption('transformer.ln_f.weight');
    await page.getByText(/not quantized:/).waitFor();
    expect(await page.locator('#histogram svg').getAttribute('aria-label')).toContain(
      'transformer.ln_f.weight',
    );
  });

  it('fits a phone without scrolling sideways', async () => {
    const [wide, view] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    expect(wide).toBeLessThanOrEqual(view!);
  });

  it('continues a prompt, by keyboard alone, and says how fast', async () => {
    await page.getByRole('textbox', { name: 'Prompt' }).fill('The');
    await page.getByLabel('Tokens', { exact: true }).fill('30');
    await page.getByRole('textbox', { name: 'Prompt' }).focus();
    for (let i = 0; i < 7; i++) await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await page.getByText(/30 tokens, [\d.]+ tokens per second/).waitFor({ timeout: 60_000 });
    expect((await page.locator('.text').textContent())!.length).toBeGreaterThan(20);
  }, 90_000);

  it('shows two files side by side and marks the tokens that differ', async () => {
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

  it('still draws another tensor', async () => {
    await page.getByLabel(/Histogram of the tensor/).selectOption('transformer.wpe.weight');
    await page.locator('#histogram svg[aria-label*="transformer.wpe.weight"]').waitFor();
  });

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
      await sound();
    }
    await page.getByLabel('Address of a .wpk').fill('absent.wpk');
    await page.getByRole('button', { name: 'Open', exact: true }).click();
    await page.locator('#status.wrong', { hasText: /404/ }).waitFor();
    expect(errors.filter((text) => !/404/.test(text))).toEqual([]); // which the browser says by itself
    errors.length = 0;
  }, 120_000);

  it('never says that nothing was lost of a file that it finds damaged', async () => {
    const lossless = readFileSync('web/public/tiny-lossless.wpk');
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
    await sound();
    expect(await page.locator('#loss').textContent()).toMatch(/^Lossless: every byte/);
    await choose(LOSSY);
    await sound();
    errors.length = 0;
  }, 60_000);

  it('runs no script but its own, wherever one comes from', async () => {
    const ran = await page.evaluate(() => {
      const script = document.createElement('script');
      script.textContent = 'globalThis.ran = true';
      document.body.append(script);
      document.body.insertAdjacentHTML('beforeend', '<img src="data:," onerror="globalThis.ran = true">');
      return new Promise((resolve) => setTimeout(() => resolve('ran' in globalThis), 300));
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
    const file = await page.evaluateHandle(async () => {
      const transfer = new DataTransfer();
      const bytes = await (await fetch('tiny-lossless.wpk')).blob();
      transfer.items.add(new File([bytes], 'dropped.wpk'));
      return transfer;
    });
    await page.locator('body').dispatchEvent('drop', { dataTransfer: file });
    await page.getByText('dropped.wpk: all checksums match').waitFor();
    expect(await page.locator('#loss').textContent()).toMatch(/Lossless: every byte of the original/);
    behavior.ranges = 'ignored';
    await page.getByLabel('Address of a .wpk').fill('tiny.wpk');
    await page.getByRole('button', { name: 'Open', exact: true }).click();
    await page.getByText('tiny.wpk: all checksums match').waitFor();
  }, 60_000);

  it('keeps a file when it is asked to, says so, and forgets it', async () => {
    await page.getByLabel('cache it in this browser').check();
    await page.getByRole('button', { name: 'Open', exact: true }).click();
    await sound();
    await page.getByText('Files cached in this browser').click();
    await page.locator('#cached-files li', { hasText: 'tiny.wpk' }).waitFor();
    await page.getByRole('button', { name: /Remove .*tiny\.wpk/ }).click();
    await page.locator('#cached-files li', { hasText: 'None.' }).waitFor();
    await page.getByLabel('cache it in this browser').uncheck();
  });

  describe('audits what is dropped, with the same words as the command line', () => {
    const audited = async (name: string) => {
      await page.getByText(`${name}: audited`).waitFor({ timeout: 60_000 });
      return page
        .locator('#statements li')
        .evaluateAll((items) =>
          items.map((item) => [...item.querySelectorAll('p')].map(({ textContent }) => textContent)),
        );
    };
    const expected = async (path: string) =>
      (await auditFile(path)).statements.map(({ claim, verdict, because }) => [
        `${verdict}: ${claim}`,
        because,
      ]);

    it('safetensors', async () => {
      await choose('examples/gpt-neo-tiny/model.safetensors');
      expect(await audited('model.safetensors')).toEqual(
        await expected('examples/gpt-neo-tiny/model.safetensors'),
      );
    }, 120_000);

    it('the pickle that claims 853:1', async () => {
      const path = join(place, 'seed.pkl.gz');
      writeFileSync(path, seedArtifact());
      await choose(path);
      const statements = await audited('seed.pkl.gz');
      // the last digits of exp and sin are each engine's own
      const compared = (list: (string | null)[][]) =>
        JSON.stringify(list).replaceAll(/error up to [\d.e-]+/g, '');
      expect(compared(statements)).toBe(compared(await expected(path)));
      expect(statements.filter(([title]) => title!.startsWith('contradicted'))).toHaveLength(7);
    }, 120_000);

    it('a .wpk that is open', async () => {
      await choose(LOSSY);
      await sound();
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
      const other = await opened(width, scheme);
      const found: Record<string, string[]> = { opened: await violations(other) };
      await other.getByText('All tensors as a table').click();
      found.table = await violations(other);
      await other.getByLabel(/compare with another file/).check();
      await other.getByLabel('Tokens', { exact: true }).fill('20');
      await other.getByRole('button', { name: 'Continue' }).click();
      await other.locator('#difference', { hasText: /identical/ }).waitFor({ timeout: 60_000 });
      found.beside = await violations(other);
      await other.getByRole('button', { name: 'Audit this file' }).click();
      await other.getByText(/nothing contradicted/).waitFor({ timeout: 60_000 });
      found.audited = await violations(other);
      const moved = await other.evaluate(() => (globalThis as unknown as { shifts: unknown[] }).shifts);
      await choose(join(place, 'other.wpk'), other);
      await other.locator('#status.wrong').waitFor();
      found.wrong = await violations(other);
      await other.close();
      expect(found).toEqual({ opened: [], table: [], beside: [], audited: [], wrong: [] });
      expect(moved).toEqual([]);
    },
  );

  it('shows a model that cannot write, and says why', async () => {
    const path = join(place, 'roberta.wpk');
    weightpress('compress', join(FIXTURES, 'roberta'), '-o', path);
    await choose(path);
    await page.getByText('roberta.wpk: all checksums match').waitFor();
    await page.getByText(/Cannot generate text: .*masked language models cannot continue text/).waitFor();
  }, 60_000);

  it('opens a .wpk that holds a quantized GGUF, checks all of it and runs it', async () => {
    const [gguf, path] = [join(place, 'llama.gguf'), join(place, 'llama-q8.wpk')];
    weightpress('decompress', join(FIXTURES, 'llama'), '-o', gguf, '--format', 'gguf', '--dtype', 'Q8_0');
    weightpress('compress', gguf, '-o', path);
    await choose(path);
    const said = await page.getByText('llama-q8.wpk: all checksums match').textContent();
    const { tensorBytes } = await inspect(path);
    expect(Number(/([\d,]+) bytes decoded/.exec(said!)![1]!.replaceAll(',', ''))).toBe(tensorBytes);
    await page.locator('#continue:enabled').waitFor();
  }, 60_000);

  it('computes on a GPU where there is one', { tags: 'slow' }, async () => {
    const other = await launch({ gpu: true });
    const gpuPage = await other.newPage();
    await gpuPage.goto(`${server.address}/index.html`);
    await sound(gpuPage);
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
