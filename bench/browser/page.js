// What a page does in bench/browser.js: bundled, and called from there.
import * as ort from '/ort/ort.wasm.bundle.min.mjs';
import { open } from '../../dist/browser/open.js';
import { load } from '../../dist/browser/run.js';
import { HttpSource, openAddress } from '../../dist/io/http.js';
import { openFolder } from '../../dist/models/folder/open.js';

/** A folder as the Hub lays it out, at an address: what a page without weightpress would load. */
class WebFolder {
  kind = 'hub';
  constructor(id) {
    this.id = id;
  }
  async list() {
    return ['config.json', 'tokenizer.json', 'model.safetensors'].map((name) => ({ name, lengthBytes: 0 }));
  }
  async open(name) {
    return new HttpSource(await openAddress(this.place(name)));
  }
  place(name) {
    return `${this.id}/${name}`;
  }
}

/** Seconds to the first token, and the token, from the weights at an address; the runtime is started before. */
async function firstToken(address, prompt) {
  const started = performance.now();
  const isWpk = address.endsWith('.wpk');
  const model = isWpk
    ? await open(address)
    : await openFolder(new WebFolder(new URL(address, location.href).href));
  const loaded = await load(ort, model);
  let seconds;
  const { tokens } = await loaded.generate(prompt, {
    maxTokens: 1,
    onToken: () => {
      seconds = (performance.now() - started) / 1000;
    },
  });
  await loaded.close();
  await model.close();
  return { seconds, token: tokens[0] };
}

/** Starts the runtime, so that its own download and start do not count. */
async function start(address) {
  const model = await open(address);
  const loaded = await load(ort, model);
  await loaded.generate('A', { maxTokens: 1 });
  await loaded.close();
  await model.close();
}

/** Seconds to decode all of a file that is at hand, on this thread. */
async function decodeHere(address) {
  const model = await open(await (await fetch(address)).blob());
  const started = performance.now();
  for (const { name } of model.tensors) await model.readTensor(name);
  const seconds = (performance.now() - started) / 1000;
  await model.close();
  return seconds;
}

/** The same with workers, every digest checked too. */
async function decodeAll(address, workers) {
  const model = await open(await (await fetch(address)).blob(), { workers });
  const iterator = model.all();
  const started = performance.now();
  for await (const _ of iterator);
  const seconds = (performance.now() - started) / 1000;
  await model.close();
  return seconds;
}

/** Tokens per second after the first, of a model at hand. */
async function generate(address, prompt, maxTokens) {
  const model = await open(await (await fetch(address)).blob());
  const loaded = await load(ort, model);
  await loaded.generate(prompt, { maxTokens: 2, endTokens: [] });
  const { tokens, tokenSeconds } = await loaded.generate(prompt, { maxTokens, endTokens: [] });
  await loaded.close();
  await model.close();
  return (tokens.length - 1) / tokenSeconds;
}

/** Streams all of a file, keeping its decoded tensors, or none. @returns bytes of all of them, and of the largest */
async function stream(address, keep) {
  const model = await open(address);
  const kept = [];
  let [bytes, largest] = [0, 0];
  for await (const tensor of model.all()) {
    bytes += tensor.bytes.length;
    largest = Math.max(largest, tensor.bytes.length);
    if (keep) kept.push(tensor.bytes);
  }
  await model.close();
  globalThis.kept = kept;
  return { bytes, largest };
}

Object.assign(globalThis, {
  bench: { start, firstToken, decodeHere, decodeAll, stream, generate },
});
