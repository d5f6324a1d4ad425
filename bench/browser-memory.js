// Memory of a page that streams a .wpk.
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { count, table } from '../dist/cli/format.js';
import { print } from '../dist/cli/terminal.js';
import { inspect } from '../dist/index.js';
import { call, launch, openPage, pageFiles } from './browser/chromium.js';
import { serve } from './browser/server.js';
import { machine } from './measure.js';

const USAGE = 'usage: node bench/browser-memory.js FILE.wpk';

/** Returns current and peak memory of the page's process, in bytes. */
function memoryOf(pid) {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const bytes = (field) => 1024 * Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(status)?.[1]);
  return { now: bytes('VmRSS'), peak: bytes('VmHWM') };
}

/** Measures the memory of streaming, releasing each tensor or keeping all of them. */
async function memory(address, url, fileBytes) {
  const rows = [];
  for (const keep of [false, true]) {
    const browser = await launch();
    const page = await openPage(browser, address);
    const session = await browser.newBrowserCDPSession();
    const { processInfo } = await session.send('SystemInfo.getProcessInfo');
    const renderers = processInfo.filter(({ type }) => type === 'renderer').map(({ id }) => id);
    const heap = await page.context().newCDPSession(page);
    let peakHeap = 0;
    const poll = setInterval(async () => {
      const { usedSize, backingStorageSize = 0 } = await heap
        .send('Runtime.getHeapUsage')
        .catch(() => ({ usedSize: 0 }));
      peakHeap = Math.max(peakHeap, usedSize + backingStorageSize);
    }, 50);
    const before = renderers.map((pid) => memoryOf(pid).now);
    const started = performance.now();
    const { bytes: decoded, largest } = await call(page, 'stream', url, keep);
    const seconds = (performance.now() - started) / 1000;
    clearInterval(poll);
    const peaks = renderers.map((pid, i) => memoryOf(pid).peak - before[i]);
    const peak = Math.max(...peaks);
    await browser.close();
    const own = keep ? decoded : largest; // at the least, what the page holds
    rows.push([
      keep ? 'all tensors kept' : 'each tensor let go',
      count(fileBytes),
      count(decoded),
      seconds.toFixed(1),
      ((peakHeap - own) / 1e6).toFixed(0),
      ((peak - own) / 1e6).toFixed(0),
    ]);
  }
  print(
    table(
      [
        'streaming',
        'file bytes',
        'decoded bytes',
        's',
        'peak heap over tensors held, MB',
        'peak growth of the process over them, MB',
      ],
      rows,
    ),
  );
}

const [file, ...others] = process.argv.slice(2);
const problem =
  file === undefined || others.length
    ? USAGE
    : await inspect(file).then(
        () => undefined,
        ({ message }) => message,
      );
if (problem) {
  console.error(problem);
  process.exit(2);
}
const scratch = mkdtempSync(join(tmpdir(), 'weightpress-bench-'));
try {
  print(machine());
  const files = await pageFiles(scratch);
  files.set('/model.wpk', { path: file });
  const server = await serve(files, Number.POSITIVE_INFINITY);
  await memory(server.address, '/model.wpk', statSync(file).size);
  server.close();
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
