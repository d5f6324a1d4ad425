/**
 * Gives transformers.js the ONNX files of a model that rests and travels as a .wpk: docs/transformers-js.md.
 * @module
 */

import { Opening } from '../transformers-js/answers.js';
import { isKeyOf } from '../transformers-js/file-names.js';
import type { MadeFile } from '../transformers-js/onnx-files.js';
import { open } from './open.js';
import { StreamedModel } from './streamed.js';

/** How {@link wpkCache} finds a model's files, and what it keeps. */
export interface WpkCacheOptions {
  /** The name that the page gives transformers.js, such as `user/model`: other models are left to `others`. By default all are this one. */
  readonly model?: string | undefined;
  /** Whether what is downloaded is kept for the next visit; by default true. */
  readonly keep?: boolean | undefined;
  /** Web Workers that decode; default: one per processor, at most four. */
  readonly workers?: number | undefined;
  /** Where files of other models are looked up and kept, such as `await caches.open('transformers-cache')`; by default nowhere. */
  readonly others?: Pick<Cache, 'match' | 'put'> | undefined;
}

/** What transformers.js takes as `env.customCache`. */
export interface WpkCache {
  /** Returns a file; undefined for one that the model does not have. */
  match(key: string): Promise<Response | undefined>;
  /** Keeps a file of another model, if there is a place for it. */
  put(key: string, response: Response): Promise<void>;
  /** Closes the model. If a file is asked for afterwards, it is opened again. */
  close(): Promise<void>;
}

/**
 * Makes a cache for transformers.js from which it loads a model that is a .wpk: config, tokenizer, and ONNX files of any dtype, made while
 * the .wpk is fetched, checked and decoded. With `dtype: 'fp32'` they hold the weights of the .wpk as they are; q8 and q4 round them.
 * @param from an address, a Blob or a File. It is opened when transformers.js first asks.
 */
export function wpkCache(from: string | URL | Blob, options: WpkCacheOptions = {}): WpkCache {
  const { model: id, keep = true, workers, others } = options;
  const opening = new Opening(async () => new StreamedModel(await open(from, { keep, workers })));
  return {
    async match(key) {
      if (!isKeyOf(key, id)) return others?.match(key);
      try {
        const found = await opening.answers();
        const file = found.find(key);
        return file && responseOf(file, found.isAllWeights(file) ? found.model : undefined);
      } catch (error) {
        return failed(error); // an error that is thrown would be taken for a file that is not cached, and another one be fetched
      }
    },
    async put(key, response) {
      if (!isKeyOf(key, id)) await others?.put(key, response);
    },
    close: () => opening.close(),
  };
}

/** Returns a response whose body cannot be read. */
function failed(error: unknown): Response {
  return new Response(new ReadableStream({ start: (controller) => controller.error(error) }));
}

/** Returns a response whose body is made when it is read. @param model that is read as a whole for it. */
function responseOf({ lengthBytes, name, chunks }: MadeFile, model: StreamedModel | undefined): Response {
  const pieces = model ? model.pass(chunks) : chunks();
  const iterator = pieces[Symbol.asyncIterator]();
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>(
    {
      async pull(controller) {
        const { done, value } = await iterator.next();
        if (done) controller.close();
        else if (value.length) controller.enqueue(value as Uint8Array<ArrayBuffer>);
        else await this.pull!(controller);
      },
      async cancel() {
        await iterator.return?.();
      },
    },
    { highWaterMark: 0 },
  );
  const type = name.endsWith('.json') ? 'application/json' : 'application/octet-stream';
  return new Response(body, { headers: { 'content-length': String(lengthBytes), 'content-type': type } });
}
