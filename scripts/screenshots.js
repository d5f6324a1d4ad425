// Pictures of the page in every state, light and dark, on a screen and a phone: npm run web:build && node scripts/screenshots.js FOLDER
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { preview } from 'vite';
import { launch } from '../bench/browser/chromium.js';

const folder = process.argv[2] ?? 'screenshots';
mkdirSync(folder, { recursive: true });
const server = await preview({ root: 'web', preview: { port: 0 } });
const [address] = server.resolvedUrls.local;
const browser = await launch();

/** A pickle of one number. */
const pickle = gzipSync(Buffer.from('80027d7100285806000000706172616d734d00105801000000777d752e', 'hex'));
const samples = { 'weights.pkl.gz': pickle, 'notes.wpk': Buffer.from('this is no model at all') };
for (const [name, bytes] of Object.entries(samples)) writeFileSync(join(folder, name), bytes);

const sound = 'all checksums match';
const states = {
  opened: async (page) => page.getByText(sound).waitFor(),
  table: async (page) => {
    await page.getByText('All tensors as a table').click();
    await page.locator('#scroll').scrollIntoViewIfNeeded();
  },
  written: async (page) => {
    await page.getByText('All tensors as a table').click();
    await page.locator('#most').fill('40');
    await page.getByRole('button', { name: 'Continue' }).click();
    await page.getByText(/40 tokens, .* tokens per second/).waitFor();
  },
  beside: async (page) => {
    await page.locator('#two').check();
    await page.getByRole('button', { name: 'Continue' }).click();
    await page.getByText(/tokens are identical/).waitFor();
  },
  'audit of a wpk': async (page) => {
    await page.getByRole('button', { name: 'Audit this file' }).click();
    await page.getByText(/contradicted in/).waitFor();
  },
  refused: async (page) => {
    await page.locator('#file').setInputFiles(join(folder, 'notes.wpk'));
    await page.getByText('not a .wpk file').waitFor();
  },
  'audit of a pickle': async (page) => {
    await page.locator('#file').setInputFiles(join(folder, 'weights.pkl.gz'));
    await page.getByText(': audited').waitFor();
  },
};

for (const colorScheme of ['light', 'dark'])
  for (const width of [1280, 390]) {
    const page = await browser.newPage({ viewport: { width, height: 800 }, colorScheme });
    page.on('console', (message) => message.type() === 'error' && console.error(message.text()));
    await page.goto(address);
    for (const [name, reach] of Object.entries(states)) {
      await reach(page);
      const path = join(folder, `${name.replaceAll(' ', '-')}-${colorScheme}-${width}.png`);
      await page.screenshot({ path, fullPage: true });
    }
    await page.close();
  }
await browser.close();
await server.close();
