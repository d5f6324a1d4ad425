// The page: opens a model, shows what it is made of, lets it write.
import runtimeModule from 'onnxruntime-web/ort-wasm-simd-threaded.mjs?url';
import runtimeWasm from 'onnxruntime-web/ort-wasm-simd-threaded.wasm?url';
import * as ort from 'onnxruntime-web/wasm';
import { type BrowserModel, open } from '../dist/browser/open.js';
import { generate } from '../dist/browser/run.js';
import { isInputError } from '../dist/errors.js';
import { summarise } from '../dist/press/summary.js';
import { count, factsOf, share } from './facts.js';

const find = <Kind extends HTMLElement>(id: string) => document.getElementById(id) as Kind;

const absolute = (path: string) => new URL(path, location.href).href;
ort.env.wasm.wasmPaths = { mjs: absolute(runtimeModule), wasm: absolute(runtimeWasm) };

let model: BrowserModel | undefined;
let running = new AbortController();

/** Errors in words; what is not the input's fault goes to the console too. */
async function told(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if ((error as Error).name === 'AbortError') return;
    find('status').textContent = (error as Error).message;
    if (!isInputError(error)) console.error(error);
  }
}

/** Opens a model in place of the one before, shows it, and decodes all of it once, so that every block was checked. */
async function show(from: string | File): Promise<void> {
  running.abort();
  running = new AbortController();
  const { signal } = running;
  await model?.close();
  find('model').hidden = true;
  find('status').textContent = 'opening';
  model = await open(from, { signal });
  await showFacts(model);
  find('model').hidden = false;
  await decode(model, signal);
}

async function showFacts(opened: BrowserModel): Promise<void> {
  const summary = summarise(opened.container);
  const facts = (await factsOf(opened, summary)).flatMap(([name, value]) => [
    element('dt', name),
    element('dd', value),
  ]);
  find('facts').replaceChildren(...facts);
  const rows = summary.rows.map(({ part: name, elements, compressedBytes }) => {
    const row = element('tr', '');
    const part = element('td', share(compressedBytes / summary.fileBytes));
    part.className = 'share';
    part.style.setProperty('--share', share(compressedBytes / summary.fileBytes).replace(' ', ''));
    const bits = elements ? ((8 * compressedBytes) / elements).toFixed(3) : '';
    row.append(element('td', name), element('td', count(compressedBytes)), part, element('td', bits));
    return row;
  });
  find('roles').replaceChildren(...rows);
}

async function decode(opened: BrowserModel, signal: AbortSignal): Promise<void> {
  const bar = find<HTMLProgressElement>('progress');
  const total = opened.tensors.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0);
  const started = performance.now();
  let done = 0;
  bar.hidden = false;
  for await (const { bytes } of opened.all(signal)) {
    done += bytes.length;
    bar.value = done / total;
    const left = ((performance.now() - started) / done) * (total - done);
    find('status').textContent = `decoded ${count(done)} bytes, ${(left / 1000).toFixed(0)} s left`;
  }
  bar.hidden = true;
  const seconds = (performance.now() - started) / 1000;
  find('status').textContent =
    `every block is sound: ${count(done)} bytes decoded in ${seconds.toFixed(1)} s`;
}

async function write(): Promise<void> {
  const stop = find<HTMLButtonElement>('stop');
  const ending = new AbortController();
  stop.onclick = () => ending.abort();
  stop.disabled = false;
  const written = find<HTMLOutputElement>('written');
  const prompt = find<HTMLTextAreaElement>('text').value;
  written.value = prompt;
  try {
    const { tokens, tokenSeconds } = await generate(ort, model!, prompt, {
      maxTokens: 60,
      signal: ending.signal,
      onToken: (_, text) => {
        written.value += text;
      },
    });
    const rate = tokens.length > 1 ? (tokens.length - 1) / tokenSeconds : 0;
    find('speed').textContent = `${tokens.length} tokens, ${rate.toFixed(1)} a second`;
  } finally {
    stop.disabled = true;
  }
}

function element(tag: string, text: string): HTMLElement {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}

find<HTMLFormElement>('source').onsubmit = (event) => {
  event.preventDefault();
  told(() => show(find<HTMLInputElement>('address').value));
};
find<HTMLInputElement>('file').onchange = (event) => {
  const file = (event.target as HTMLInputElement).files?.[0];
  if (file) told(() => show(file));
};
find<HTMLFormElement>('prompt').onsubmit = (event) => {
  event.preventDefault();
  told(write);
};
document.ondragover = (event) => event.preventDefault();
document.ondrop = (event) => {
  event.preventDefault();
  const file = event.dataTransfer?.files[0];
  if (file) told(() => show(file));
};
told(() => show(find<HTMLInputElement>('address').value));
