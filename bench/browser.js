// A model in a page: how long until it writes over a slow line, and how fast it decodes and generates beside Node.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, openAsBlob, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { open } from '../dist/browser/open.js';
import { count, table } from '../dist/cli/format.js';
import { print } from '../dist/cli/terminal.js';
import { generate } from '../dist/evaluation/node/run.js';
import { openModel } from '../dist/open/open.js';
import { call, launch, openPage, pageFiles } from './browser/chromium.js';
import { serve } from './browser/server.js';
import { machine, median } from './measure.js';

const USAGE = `usage: node bench/browser.js MODEL_DIR [--calibrate TEXT] [--large FILE.wpk] [--mbit N] [--runs N] [--decoding]
  MODEL_DIR     over a line of N Mbit/s (default 20): f32 safetensors, lossless .wpk, --kl 0.01
  --calibrate   text for --kl (default: the bundled one)
  --large       a .wpk that is decoded too
  --decoding    only decodes, and only lossless files`;

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const COMMAND = here('../dist/cli/main.js');
const PROMPT = 'Once upon a time';
const IDS = [5, 6, 7, 8, 9, 10, 11, 12];
const LENGTH = 32;
const scratch = mkdtempSync(join(tmpdir(), 'weightpress-bench-'));

function compress(model, name, ...flags) {
  const output = join(scratch, name);
  execFileSync(process.execPath, [COMMAND, 'compress', model, '-o', output, ...flags], { stdio: 'ignore' });
  return output;
}

/** Measures seconds to the first token from each format of the model, with page and runtime already loaded. */
async function firstTokens(browser, address, forms, runs) {
  const rows = [];
  for (const { label, path, bytes } of forms) {
    const seconds = [];
    let token;
    for (let run = 0; run < runs; run++) {
      const page = await openPage(browser, address);
      await call(page, 'start', '/warm.wpk');
      const result = await call(page, 'firstToken', path, PROMPT);
      seconds.push(result.seconds);
      token = result.token;
      await page.close();
    }
    rows.push({ label, bytes, seconds: median(seconds), token });
  }
  const [{ seconds: slowest }] = rows;
  print(
    table(
      ['', 'bytes to fetch', 'seconds to the first token', 'of the first', 'token'],
      rows.map(({ label, bytes, seconds, token }) => [
        label,
        count(bytes),
        seconds.toFixed(2),
        `${((100 * seconds) / slowest).toFixed(1)} %`,
        String(token),
      ]),
    ),
  );
}

/** Measures decoding of one file on one core, in Node and in the page. */
async function decoding(browser, address, files, runs) {
  const rows = [];
  for (const [label, path, url] of files) {
    const page = await openPage(browser, address);
    const model = await open(await openAsBlob(path));
    const decodedBytes = model.tensors.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0);
    const times = { node: [], page: [], worker: [] };
    for (let run = -1; run < runs; run++) {
      const started = performance.now();
      for (const { name } of model.tensors) await model.readTensor(name);
      const node = (performance.now() - started) / 1000;
      const inPage = await call(page, 'decodeHere', url);
      const worker = await call(page, 'decodeAll', url, 1);
      if (run < 0) continue; // the first compiles
      times.node.push(node);
      times.page.push(inPage);
      times.worker.push(worker);
    }
    await model.close();
    await page.close();
    const rate = (seconds) => decodedBytes / 1e6 / median(seconds);
    rows.push([
      label,
      rate(times.node).toFixed(0),
      rate(times.page).toFixed(0),
      rate(times.worker).toFixed(0),
      `${((100 * rate(times.page)) / rate(times.node)).toFixed(0)} %`,
      `${((100 * rate(times.worker)) / rate(times.node)).toFixed(0)} %`,
    ]);
  }
  print(
    table(
      [
        'decoded, MB/s',
        'Node, one thread',
        'page, one thread',
        'page, one worker, SHA-256',
        'thread',
        'worker',
      ],
      rows,
    ),
  );
}

/** Measures tokens per second, in Node and in the page. */
async function generating(browser, address, files, runs) {
  const rows = [];
  for (const [label, path, url] of files) {
    const times = { node: [], page: [] };
    for (let run = 0; run < runs; run++) {
      const model = await openModel(path);
      const { tokens, tokenSeconds } = await generate(model, IDS, { maxTokens: LENGTH, endTokens: [] });
      times.node.push((tokens.length - 1) / tokenSeconds);
      await model.close();
      const page = await openPage(browser, address);
      times.page.push(await call(page, 'generate', url, IDS, LENGTH));
      await page.close();
    }
    const [node, page] = [median(times.node), median(times.page)];
    rows.push([label, node.toFixed(1), page.toFixed(1), `${((100 * page) / node).toFixed(0)} %`]);
  }
  print(table(['tokens per second', 'Node', 'page', ''], rows));
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      calibrate: { type: 'string' },
      large: { type: 'string' },
      mbit: { type: 'string', default: '20' },
      runs: { type: 'string', default: '3' },
      decoding: { type: 'boolean', default: false },
    },
  });
  const [model] = positionals;
  const runs = Number(values.runs);
  if (positionals.length !== 1 || !(Number.isInteger(runs) && runs > 0) || !(Number(values.mbit) > 0))
    throw new RangeError(USAGE);
  for (const path of [join(model, 'model.safetensors'), values.large, values.calibrate])
    if (path !== undefined && !existsSync(path)) throw new RangeError(`${path}: no such file`);
  if (values.large) await (await openModel(values.large)).close();
  print(machine());
  const lossless = compress(model, 'lossless.wpk');
  const calibrate = values.calibrate ? ['--calibrate', values.calibrate] : [];
  const lossy = values.decoding ? undefined : compress(model, 'kl.wpk', '--kl', '0.01', ...calibrate);
  const warm = compress(here('../examples/gpt-neo-tiny'), 'warm.wpk');
  const files = await pageFiles(scratch);
  files.set('/warm.wpk', { path: warm });
  const original = ['config.json', 'tokenizer.json', 'model.safetensors'];
  for (const name of original) files.set(`/model/${name}`, { path: join(model, name), slow: true });
  const made = [
    ['lossless', lossless],
    ['kl', lossy],
  ].filter(([, path]) => path !== undefined);
  for (const [name, path] of made) {
    files.set(`/${name}.wpk`, { path, slow: true });
    files.set(`/fast/${name}.wpk`, { path });
  }
  if (values.large) files.set('/fast/large.wpk', { path: values.large });
  const server = await serve(files, (Number(values.mbit) * 1e6) / 8);
  const browser = await launch();
  const size = (path) => statSync(path).size;
  if (lossy) {
    print(
      `\nTo the first token over ${values.mbit} Mbit/s, with page and runtime already loaded; medians of ${runs}:`,
    );
    const forms = [
      {
        label: 'f32 safetensors',
        path: '/model',
        bytes: original.reduce((sum, name) => sum + size(join(model, name)), 0),
      },
      { label: 'lossless .wpk', path: '/lossless.wpk', bytes: size(lossless) },
      { label: '--kl 0.01', path: '/kl.wpk', bytes: size(lossy) },
    ];
    await firstTokens(browser, server.address, forms, runs);
  }
  print(`\nDecoding; medians of ${5 * runs}:`);
  const decoded = [['lossless', lossless, '/fast/lossless.wpk']];
  if (lossy) decoded.push(['--kl 0.01', lossy, '/fast/kl.wpk']);
  if (values.large) decoded.push(['large', values.large, '/fast/large.wpk']);
  await decoding(browser, server.address, decoded, 5 * runs);
  if (lossy) {
    print(`\nGenerating ${LENGTH} tokens; medians of ${runs}:`);
    await generating(browser, server.address, decoded, runs);
  }
  await browser.close();
  server.close();
}

try {
  await main();
} catch (error) {
  console.error(error.message);
  process.exitCode = 2;
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
