// What a page waits for: transformers.js with ONNX files, and the same page with a .wpk, over a slow line. Prints the table of docs/transformers-js.md.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';
import { count, table } from '../dist/cli/format.js';
import { print } from '../dist/cli/terminal.js';
import { evaluateOnnx } from '../dist/evaluation/onnx.js';
import { compress, exportOnnx, open } from '../dist/index.js';
import { loadRuntime } from '../dist/onnx/node/runtime.js';
import { loadTokenizer } from '../dist/tokenizer/tokenizer.js';
import { makeOnnxFiles } from '../dist/transformers-js/onnx-files.js';
import { OnnxModel } from '../dist/transformers-js/onnx-model.js';
import { machine, median } from './measure.js';

const USAGE = `usage: node bench/transformers-js.js MODEL_DIR [--kl 0.01] [--mbit 20] [--tokens 8192] [--rounds 3] [--calibration-tokens 32768]
  --mbit N    megabits per second of the line, with 20 ms of latency
  --tokens N  tokens of fixtures/text/evaluation.txt that the divergence is measured on`;

const fixture = (name) => fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url));
const LIBRARY = 'node_modules/@huggingface/transformers';
const RUNTIME = `${LIBRARY}/node_modules/onnxruntime-web/dist`;
const LATENCY_MS = 20;
const DTYPES = ['fp32', 'q8', 'q4'];
const PROMPT = 'It was a dark and stormy night';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    kl: { type: 'string', default: '0.01' },
    mbit: { type: 'string', default: '20' },
    tokens: { type: 'string', default: '8192' },
    rounds: { type: 'string', default: '3' },
    'calibration-tokens': { type: 'string', default: '32768' },
  },
});
if (positionals.length !== 1) throw new RangeError(USAGE);
const [path] = positionals;
const folder = mkdtempSync(join(tmpdir(), 'weightpress-transformers-'));

const PAGE = `<!doctype html><title>bench</title><script type="module">
import * as transformers from '/tjs/transformers.min.js';
import { wpkCache } from '/web/transformers.js';
const { env } = transformers;
env.backends.onnx.wasm.wasmPaths = '/ort/';
Object.assign(env, { allowLocalModels: true, localModelPath: '/models/', allowRemoteModels: false });
env.useBrowserCache = false;
// the runtime's own download is the same for all: it has run a small model before the clock starts
const write = await transformers.pipeline('text-generation', 'user/warm', { dtype: 'fp32', device: 'wasm' });
await write('It', { max_new_tokens: 1 });
await write.dispose();
Object.assign(globalThis, { transformers, wpkCache });
</script>`;

/** Files by address: the library, the package, and models. */
const files = new Map([['/index.html', Buffer.from(PAGE)]]);
let sent = 0;

function addFolder(from, to, wanted = () => true) {
  for (const entry of readdirSync(from, { recursive: true, withFileTypes: true })) {
    const file = join(entry.parentPath, entry.name);
    if (entry.isFile() && wanted(entry.name)) files.set(to + file.slice(from.length), readFileSync(file));
  }
}

const TYPES = { js: 'text/javascript', mjs: 'text/javascript', html: 'text/html', wasm: 'application/wasm' };
const server = createServer((request, response) => {
  const bytes = files.get(request.url.split('?')[0]);
  if (!bytes) return response.writeHead(404).end();
  const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
  const [start, end] = from ? [Number(from), Math.min(bytes.length, Number(to) + 1)] : [0, bytes.length];
  if (/^\/(models|wpk)\//.test(request.url)) sent += end - start;
  response.writeHead(from ? 206 : 200, {
    'content-type': TYPES[request.url.split('.').at(-1)] ?? 'application/octet-stream',
    'content-length': end - start,
    'cross-origin-opener-policy': 'same-origin',
    'cross-origin-embedder-policy': 'require-corp',
    etag: `"${bytes.length}"`,
    ...(from && { 'content-range': `bytes ${start}-${end - 1}/${bytes.length}` }),
  });
  response.end(bytes.subarray(start, end));
});

/** Seconds from the call of \`pipeline\` to the first token, and what was fetched of the model, on a first visit. */
async function visit(browser, address, { dtype, wpk }) {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(address);
  await page.waitForFunction('globalThis.wpkCache');
  const session = await context.newCDPSession(page);
  await session.send('Network.enable');
  await session.send('Network.emulateNetworkConditions', {
    offline: false,
    latency: LATENCY_MS,
    downloadThroughput: (Number(values.mbit) * 1e6) / 8,
    uploadThroughput: 1e6,
  });
  sent = 0;
  const seconds = await page.evaluate(
    async ({ dtype, wpk, prompt }) => {
      const { transformers, wpkCache } = globalThis;
      const { env, pipeline } = transformers;
      env.useCustomCache = wpk;
      env.customCache = wpk ? wpkCache('/wpk/model.wpk', { keep: false }) : null;
      const started = performance.now();
      const write = await pipeline('text-generation', 'user/model', { dtype, device: 'wasm' });
      await write(prompt, { max_new_tokens: 1, do_sample: false });
      return (performance.now() - started) / 1000;
    },
    { dtype, wpk, prompt: PROMPT },
  );
  const bytes = sent;
  await context.close();
  return { seconds, bytes };
}

/** Divergence of an ONNX file from the original. */
async function divergence(model, file, source, dtype) {
  const runtime = await loadRuntime();
  const { inputs } = await makeOnnxFiles(source, { dtype });
  const onnx = new OnnxModel(runtime, await runtime.file(file), inputs);
  const tokenizer = await loadTokenizer(model);
  const tokens = tokenizer.encode(readFileSync(fixture('text/evaluation.txt'), 'utf8'));
  const window = Math.min(512, model.config.max_position_embeddings ?? 512);
  const { kl, top1 } = await evaluateOnnx(runtime, onnx, {
    against: model,
    tokens: tokens.slice(0, Number(values.tokens)),
    window,
  });
  await onnx.release();
  return { kl, top1 };
}

try {
  const model = await open(path);
  const calibration = { text: readFileSync(fixture('text/calibration.txt'), 'utf8'), name: 'held out' };
  calibration.statisticsPath = join(folder, 'statistics');
  calibration.tokens = Number(values['calibration-tokens']);
  const exported = join(folder, 'exported');
  await exportOnnx(model, exported, { dtypes: DTYPES, calibration });
  const packed = join(folder, 'model.wpk');
  await compress(model, packed, { budget: { kl: Number(values.kl) }, calibration });
  const decoded = await open(packed);
  const made = join(folder, 'made');
  await exportOnnx(decoded, made, { dtypes: DTYPES });
  const warm = join(folder, 'warm');
  const tiny = await open(fileURLToPath(new URL('../examples/gpt-neo-tiny', import.meta.url)));
  await exportOnnx(tiny, warm);
  await tiny.close();
  addFolder(warm, '/models/user/warm');
  addFolder(exported, '/models/user/model');
  addFolder('dist/web', '/web');
  addFolder(RUNTIME, '/ort', (name) => name.startsWith('ort-wasm'));
  files.set('/tjs/transformers.min.js', readFileSync(`${LIBRARY}/dist/transformers.min.js`));
  files.set('/wpk/model.wpk', readFileSync(packed));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = `http://127.0.0.1:${server.address().port}/index.html`;
  const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] });
  const ways = [
    ...DTYPES.map((dtype) => ({ dtype, wpk: false })),
    ...DTYPES.map((dtype) => ({ dtype, wpk: true })),
  ];
  const visits = ways.map(() => []);
  for (let round = 0; round < Number(values.rounds); round++)
    for (const [i, way] of ways.entries()) visits[i].push(await visit(browser, address, way));
  const rows = [];
  for (const [i, { dtype, wpk }] of ways.entries()) {
    const name = readdirSync(join(exported, 'onnx')).find((file) =>
      new RegExp(`^model${{ fp32: '', q8: '_quantized', q4: '_q4' }[dtype]}\\.onnx$`).test(file),
    );
    const { kl, top1 } = await divergence(
      model,
      join(wpk ? made : exported, 'onnx', name),
      wpk ? decoded : model,
      dtype,
    );
    rows.push([
      wpk ? `wpkCache, --kl ${values.kl}, dtype ${dtype}` : `ONNX, dtype ${dtype}`,
      count(visits[i][0].bytes),
      median(visits[i].map(({ seconds }) => seconds)).toFixed(2),
      `${kl.mean.toExponential(2)} ± ${kl.standardError.toExponential(0)}`,
      `${(100 * top1.agreement).toFixed(2)} %`,
    ]);
  }
  print(
    `${path}, a first visit over ${values.mbit} Mbit/s and ${LATENCY_MS} ms, Chromium, WebAssembly; median of ${values.rounds}; ${machine()}\n`,
  );
  const head = ['', 'bytes', 'seconds to\nfirst token', 'KL, nats\nper token', 'same most\nprobable token'];
  print(table(head, rows));
  await browser.close();
  await Promise.all([model.close(), decoded.close()]);
} finally {
  server.close();
  rmSync(folder, { recursive: true, force: true });
}
