import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { weightpress } from './cli.js';

const BUILT = 'dist/page';
/** The lossy example, which the page opens by itself. */
export const LOSSY = 'web/public/tiny.wpk';

/** Builds the page, its lossy example without the time that calibration takes. @returns its files as a server has them. */
export function builtPage(): Map<string, Uint8Array> {
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
  return files;
}

/** What a page's tests look at. */
export interface PageOptions {
  readonly width?: number;
  readonly colorScheme?: 'light' | 'dark';
  /** Gets what the console should not show. */
  readonly errors: string[];
}

/** Opens a page and waits until its example is decoded; layout shifts are noted from the start. */
export async function openedPage(
  browser: Browser,
  address: string,
  { width = 1280, colorScheme = 'light', errors }: PageOptions,
): Promise<Page> {
  const page = await browser.newPage({ viewport: { width, height: 740 }, colorScheme });
  page.on('pageerror', (error) => errors.push(error.message));
  page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
  await page.addInitScript(() => {
    interface Shift {
      value: number;
      hadRecentInput: boolean;
      sources: { node?: Element }[];
    }
    const shifts: [number, string[]][] = [];
    Object.assign(globalThis, { shifts });
    new PerformanceObserver((list) => {
      for (const { value, hadRecentInput, sources } of list.getEntries() as unknown as Shift[])
        if (!hadRecentInput) shifts.push([value, sources.map(({ node }) => `${node?.id || node?.nodeName}`)]);
    }).observe({ type: 'layout-shift', buffered: true });
  });
  await page.goto(address);
  await sound(page);
  return page;
}

/** Waits until a .wpk is decoded. */
export const sound = (page: Page, name = '') =>
  page.getByText(`${name ? `${name}: ` : ''}all checksums match`).waitFor({ timeout: 60_000 });

/** Shows a part of the page. */
export const tab = (page: Page, name: string) => page.getByRole('tab', { name }).click();

/** Drops a file on a page. */
export async function drop(page: Page, name: string, bytes: Uint8Array): Promise<void> {
  const transfer = await page.evaluateHandle(
    ({ name, base64 }) => {
      const content = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
      const made = new DataTransfer();
      made.items.add(new File([content], name));
      return made;
    },
    { name, base64: Buffer.from(bytes).toString('base64') },
  );
  await page.locator('body').dispatchEvent('drop', { dataTransfer: transfer });
}

/** What axe finds wrong. */
export async function violations(page: Page): Promise<string[]> {
  await page.evaluate(readFileSync('node_modules/axe-core/axe.min.js', 'utf8')); // which the page's policy keeps out
  return page.evaluate(async () => {
    type Axe = { run(): Promise<{ violations: { id: string; nodes: { html: string }[] }[] }> };
    const { violations } = await (globalThis as unknown as { axe: Axe }).axe.run();
    return violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html.slice(0, 200)}`));
  });
}
