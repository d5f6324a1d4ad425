/**
 * Gives transformers.js in Node the ONNX files of a model that rests as a .wpk: docs/transformers-js.md.
 * @module
 */

import { stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { isInputError } from '../core/errors.js';
import type { Model } from '../core/model.js';
import { VERSION } from '../core/version.js';
import { modelDigest } from '../models/node/digest.js';
import { openModel } from '../open/open.js';
import { Opening } from '../transformers-js/answers.js';
import type { OnnxDtype } from '../transformers-js/encoding.js';
import { dtypeOf, isKeyOf } from '../transformers-js/file-names.js';
import type { MadeFile } from '../transformers-js/onnx-files.js';
import { exportOnnx } from './export/onnx.js';

/** How {@link wpkCache} finds a model's files, and where it puts them. */
export interface WpkCacheOptions {
  /** The name that is given to transformers.js, such as `user/model`: other models are left to it. By default all are this one. */
  readonly model?: string | undefined;
  /** Folder of the ONNX files that were made, by model and dtype; default: `weightpress` in XDG_CACHE_HOME or `~/.cache`. */
  readonly folder?: string | undefined;
}

/** What transformers.js takes as `env.customCache`. */
export interface WpkCache {
  /** Returns a file, or the path of one that ONNX Runtime opens itself; undefined for one that the model does not have. */
  match(key: string): Promise<Response | string | undefined>;
  /** Does nothing: nothing else is kept here. */
  put(key: string, response: Response): Promise<void>;
  /** Closes the model. If a file is asked for afterwards, it is opened again. */
  close(): Promise<void>;
}

/**
 * Makes a cache for transformers.js from which it loads a model that is a .wpk, or any other that `openModel` opens: config, tokenizer,
 * and ONNX files of any dtype. These are made when they are first asked for, and stay on disk. With `dtype: 'fp32'` they hold the weights
 * as they are; q8 and q4 round them.
 * @param from a path, an address, or a name on the Hub. It is opened when transformers.js first asks.
 */
export function wpkCache(from: string | URL, options: WpkCacheOptions = {}): WpkCache {
  const { model: id, folder = defaultFolder() } = options;
  const made = new Map<OnnxDtype, Promise<string>>();
  const opening = new Opening(() => openModel(from instanceof URL ? from.href : from));
  const onnxFolder = (model: Model, dtype: OnnxDtype) => {
    const making = made.get(dtype) ?? makeOnce(model, dtype, folder);
    made.set(dtype, making);
    making.catch(() => made.delete(dtype));
    return making;
  };
  return {
    async match(key) {
      if (!isKeyOf(key, id)) return undefined;
      try {
        const { model, find } = await opening.answers();
        const file = find(key);
        const dtype = file && dtypeOf(file.name);
        // transformers.js asks by a path first, for sizes; and then by an address, for what ONNX Runtime opens
        if (!dtype || !isAddress(key)) return file && responseOf(file);
        return join(await onnxFolder(model, dtype), file.name);
      } catch (error) {
        return failed(error); // an error that is thrown would be taken for a file that is not cached, and another one be fetched
      }
    },
    async put() {},
    close: () => opening.close(),
  };
}

const defaultFolder = () => join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'weightpress');

const isAddress = (key: string) => /^https?:/.test(key);

/** Writes the ONNX files of a dtype, unless they are there. @returns their folder. */
async function makeOnce(model: Model, dtype: OnnxDtype, folder: string): Promise<string> {
  const digest = await modelDigest(model);
  const path = join(folder, `${digest.slice(0, 32)}-${dtype}-${VERSION}`);
  if (await stat(path).catch(() => undefined)) return path;
  try {
    await exportOnnx(model, path, { dtypes: [dtype] });
  } catch (error) {
    if (!(isInputError(error) && error.code === 'exists')) throw error; // another process was faster
  }
  return path;
}

/** Returns a response whose body cannot be read. */
function failed(error: unknown): Response {
  return new Response(new ReadableStream({ start: (controller) => controller.error(error) }));
}

function responseOf({ lengthBytes, chunks }: MadeFile): Response {
  const headers = { 'content-length': String(lengthBytes) };
  return new Response(Readable.toWeb(Readable.from(chunks(), { objectMode: false })) as ReadableStream, {
    headers,
  });
}
