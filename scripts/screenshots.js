// Pictures of the page in every state, light and dark, on a screen and a phone: npm run web:build && node scripts/screenshots.js FOLDER
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { preview } from 'vite';
import { launch } from '../bench/browser/chromium.js';

const folder = process.argv[2] ?? 'screenshots';
mkdirSync(folder, { recursive: true });
const server = await preview({ root: 'web', preview: { port: 0 } });
const [address] = server.resolvedUrls.local;
const browser = await launch();

const at = (name) => join(folder, name);
writeFileSync(at('notes.wpk'), 'this is no model at all');
const gguf = at('gpt-neox-tiny-q8_0.gguf');
if (!existsSync(gguf)) {
  const source = 'fixtures/architectures/gpt_neox';
  const args = ['decompress', source, '-o', gguf, '--format', 'gguf', '--dtype', 'Q8_0'];
  execFileSync(process.execPath, ['dist/cli/main.js', ...args]);
}
/** A Hub of one repository with several files of weights. */
const FILES = ['BF16', 'Q8_0', 'Q6_K', 'Q5_K_M', 'Q4_K_M'].map((type, i) => ({
  type: 'file',
  path: `some-model-7b-instruct-${type}.gguf`,
  size: 15e9 / (i + 1),
}));

const tab = (page, name) => page.getByRole('tab', { name }).click();
const choose = (page, path) => page.locator('#file').setInputFiles(path);

/** States, each from the one before it. */
const states = {
  example: (page) => page.getByText('all checksums match').waitFor(),
  tensors: async (page) => {
    await tab(page, 'Tensors');
    await page.locator('#search').fill('mlp weight');
  },
  histogram: async (page) => {
    await page.locator('#tensor-table tbody button').nth(2).click();
    await page.locator('#histogram svg').waitFor();
  },
  map: async (page) => {
    await page.locator('#detail').evaluate((detail) => detail.classList.remove('chosen'));
    await tab(page, 'Map');
  },
  metadata: (page) => tab(page, 'Metadata'),
  generate: async (page) => {
    await tab(page, 'Generate');
    await page.getByRole('button', { name: 'Continue' }).click();
    await page.getByText(/\d tokens, .* tokens per second/).waitFor();
  },
  beside: async (page) => {
    await page.getByText('Beside another .wpk').click();
    await page.locator('#two').check();
    await page.getByRole('button', { name: 'Continue' }).click();
    await page.getByText(/positions differ|are identical/).waitFor();
  },
  audit: async (page) => {
    await tab(page, 'Audit');
    await page.getByRole('button', { name: 'Audit this file' }).click();
    await page.getByText(/contradicted in/).waitFor();
  },
  gguf: async (page) => {
    await choose(page, gguf);
    await page.getByText('only headers were read').waitFor();
    await tab(page, 'Overview');
  },
  'gguf map': async (page) => {
    await tab(page, 'Map');
    await page.locator('#histogram svg').waitFor({ state: 'attached' });
  },
  'gguf generate': (page) => tab(page, 'Generate'),
  choices: async (page) => {
    await page.locator('#address').fill('someone/some-model-7b-instruct-GGUF');
    await page.getByRole('button', { name: 'Open', exact: true }).click();
    await page.getByText('of weights: choose one').waitFor();
  },
  refused: async (page) => {
    await choose(page, at('notes.wpk'));
    await page.getByText('not a .wpk file').waitFor();
  },
};

for (const colorScheme of ['light', 'dark'])
  for (const width of [1280, 390]) {
    const page = await browser.newPage({ viewport: { width, height: 844 }, colorScheme });
    page.on('console', (message) => message.type() === 'error' && console.error(message.text()));
    await page.route('https://huggingface.co/**', (route) =>
      route.fulfill({ json: FILES, headers: { 'access-control-allow-origin': '*' } }),
    );
    const picture = (name) =>
      page.screenshot({
        path: at(`${name.replaceAll(' ', '-')}-${colorScheme}-${width}.png`),
        fullPage: true,
      });
    const making = await browser.newPage();
    await making.route('**/examples.json', (route) =>
      route.fulfill({ json: { 'tiny.wpk': 'is being made' } }),
    );
    await making.setViewportSize({ width, height: 844 });
    await making.emulateMedia({ colorScheme });
    await making.goto(address);
    await making.getByText('is being made:').waitFor();
    await making.screenshot({ path: at(`empty-${colorScheme}-${width}.png`) });
    await making.close();
    await page.goto(address);
    for (const [name, reach] of Object.entries(states)) {
      await reach(page);
      await picture(name);
    }
    await page.close();
  }
await browser.close();
await server.close();
