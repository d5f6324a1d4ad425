import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { type Browser, chromium, type Page } from 'playwright-core';
import type * as Web from '../../src/browser/index.js';
import type * as Run from '../../src/browser/run.js';

/** The system's Chromium, if there is one. */
export const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(
  existsSync,
);

/** As root, without a screen, and without asking the network for anything of its own. */
const FLAGS = [
  '--no-sandbox',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
/** A GPU that is a program. */
const GPU_FLAGS = ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader', '--enable-features=Vulkan'];

export function launch({ gpu = false } = {}): Promise<Browser> {
  const args = [...FLAGS, ...(gpu ? GPU_FLAGS : ['--disable-gpu'])];
  return chromium.launch({ executablePath: CHROMIUM!, args });
}

/** What a page of {@link moduleFiles} has as globals. */
export interface PageGlobals {
  weightpress: typeof Web;
  run: typeof Run;
  ort: Run.OnnxRuntimeWeb;
}

const PAGE = (runtime: string) => `<!doctype html><title>test</title>
<script type="module">
import * as weightpress from '/web/index.js';
import * as run from '/web/run.js';
import * as ort from '/ort/${runtime}';
Object.assign(globalThis, { weightpress, run, ort });
</script>`;

/** The modules as any page may load them, `/index.html`, and `/webgpu.html` with the other runtime. */
export function moduleFiles(): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>();
  for (const name of readdirSync('node_modules/onnxruntime-web/dist'))
    if (/^ort\.(wasm|webgpu)\.bundle\.min\.mjs$|^ort-wasm-simd-threaded\.(asyncify\.)?(wasm|mjs)$/.test(name))
      files.set(`/ort/${name}`, readFileSync(`node_modules/onnxruntime-web/dist/${name}`));
  for (const name of readdirSync('dist/web')) files.set(`/web/${name}`, readFileSync(`dist/web/${name}`));
  const page = (runtime: string) => new TextEncoder().encode(PAGE(runtime));
  files.set('/index.html', page('ort.wasm.bundle.min.mjs'));
  files.set('/webgpu.html', page('ort.webgpu.bundle.min.mjs'));
  return files;
}

/** Opens such a page and waits for its modules; `errors` gets what its console should not show. */
export async function openPage(page: Page, address: string, errors: string[] = []): Promise<Page> {
  page.on('pageerror', (error) => errors.push(error.message));
  await page.goto(address);
  await page.waitForFunction('globalThis.weightpress');
  return page;
}

/** Opens a model in the page, reads all of it and digests it there; what goes wrong is said. */
export function digestsIn(page: Page, path: string, kind: 'url' | 'blob' | 'kept' = 'url') {
  return page.evaluate(
    async ({ path, kind }) => {
      const { open, isInputError } = (globalThis as unknown as PageGlobals).weightpress;
      try {
        const from = kind === 'blob' ? await (await fetch(path)).blob() : path;
        const model = await open(from, { keep: kind === 'kept' });
        const digests: Record<string, string> = {};
        for await (const { name, bytes } of model.all()) {
          const digest = await crypto.subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>);
          digests[name] = [...new Uint8Array(digest)]
            .map((byte) => byte.toString(16).padStart(2, '0'))
            .join('');
        }
        await model.close();
        return { digests, said: '', known: true };
      } catch (error) {
        return { digests: {}, said: String((error as Error).message), known: isInputError(error) };
      }
    },
    { path, kind },
  );
}
