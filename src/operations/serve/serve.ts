import { InputError } from '../../core/errors.js';
import type { Closable } from '../../core/model.js';
import { accessFor } from './access.js';
import { type AnsweredRequest, answer } from './answering.js';
import { Cache } from './cache.js';
import { Decoder } from './decoder.js';
import { Library } from './library.js';
import { Workshop } from './made.js';
import { Counts, metricsText } from './metrics.js';
import type { OpenWpk } from './open-wpk.js';
import { type Listening, listen } from './server.js';

/** How {@link serve} runs. */
export interface ServeOptions {
  /** The address to listen on; by default 127.0.0.1, which only this machine reaches. */
  readonly host?: string | undefined;
  /** By default 8080; 0 for any that is free. */
  readonly port?: number | undefined;
  /** What clients have to send as `Authorization: Bearer TOKEN`; needed where other machines reach the server. */
  readonly token?: string | undefined;
  /** Maximum bytes of decoded blocks that stay in memory; by default 128 MiB. */
  readonly cacheBytes?: number | undefined;
  /** Maximum bytes of GGUF and ONNX files that are made in the system's temporary folder; by default 20 GB, and 0 offers none. */
  readonly madeBytes?: number | undefined;
  /** Worker threads; by default one per core. */
  readonly threads?: number | undefined;
  /** Is called with each request that was answered. */
  readonly onRequest?: ((request: AnsweredRequest) => void) | undefined;
  /** Is called with each problem, in one line: a file that cannot be read, a name that two files have. */
  readonly onProblem?: ((message: string) => void) | undefined;
}

/** A server that runs. Closing it waits up to 5 s for answers that are being sent. */
export interface Serving extends Closable {
  /** What `HF_ENDPOINT` is set to. */
  readonly url: string;
  /** Returns the names that models are served under. @throws {InputError} when the folder cannot be read. */
  models(): Promise<string[]>;
}

const DEFAULT_CACHE_BYTES = 2 ** 27;
const MIN_CACHE_BYTES = 2 ** 24;
const DEFAULT_MADE_BYTES = 20e9;
/** Maximum number of .wpk files that are open at once, besides those that are being sent. */
const MAX_OPEN_FILES = 64;
const GRACE_MS = 5000;

/**
 * Serves the .wpk files below a folder in the protocol of the Hub, each as the repository that it was made of, decoded while it is sent.
 * @throws {InputError} when the folder cannot be read or the server cannot listen, and without a token where other machines reach it.
 */
export async function serve(folder: string, options: ServeOptions = {}): Promise<Serving> {
  const { host = '127.0.0.1', port = 8080, token, cacheBytes = DEFAULT_CACHE_BYTES } = options;
  if (!(cacheBytes >= MIN_CACHE_BYTES))
    throw new InputError(`expected a cache of at least ${MIN_CACHE_BYTES} bytes, found ${cacheBytes}`);
  const allows = accessFor(host, token);
  const { onRequest = () => {}, onProblem = () => {}, madeBytes = DEFAULT_MADE_BYTES } = options;
  const decoder = new Decoder(cacheBytes, options.threads);
  const open = new Cache<OpenWpk>(MAX_OPEN_FILES, { sizeOf: () => 1, dispose: (wpk) => wpk.close() });
  const library = new Library(folder, { open, decoder }, onProblem);
  const workshop = new Workshop(madeBytes);
  const counts = new Counts();
  let listening: Listening | undefined;
  const metrics = async () =>
    metricsText(counts, decoder.cache, {
      connections: await connectionsOf(listening!),
      models: (await library.repositories()).size,
    });
  const free = async () => {
    await listening?.close(GRACE_MS);
    await workshop.close();
    open.clear();
    await decoder.close();
  };
  try {
    await library.repositories();
    const served = { library, workshop, allows, metrics };
    listening = await listen({ host, port }, (request, response) => {
      answer(request, response, served, { counts, onRequest, onProblem });
    });
    listening.server.on('drop', () => counts.refusedConnections++);
  } catch (error) {
    await free();
    throw error;
  }
  let closed: Promise<void> | undefined;
  const close = () => {
    closed ??= free();
    return closed;
  };
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${listening.port}`,
    models: async () => [...(await library.repositories()).keys()],
    close,
    [Symbol.asyncDispose]: close,
  };
}

function connectionsOf({ server }: Listening): Promise<number> {
  return new Promise((resolve, reject) => {
    server.getConnections((error, count) => (error ? reject(error) : resolve(count)));
  });
}
