import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** How a server behaves; a test may change it at any time. */
export interface Behaviour {
  /** What it does with ranges. */
  ranges: 'sent' | 'ignored';
  /** Whether its pages may share memory between threads. */
  isolated: boolean;
  /** Breaks the connection of every answer longer than this behind so many bytes, this many times. */
  cut: { readonly afterBytes: number; times: number };
  /** Of all connections together. */
  bytesPerSecond: number;
}

/** A server's usual behaviour. */
export const USUAL: Readonly<Behaviour> = {
  ranges: 'sent',
  isolated: true,
  cut: { afterBytes: 0, times: 0 },
  bytesPerSecond: Number.POSITIVE_INFINITY,
};

const TYPES: Readonly<Record<string, string>> = {
  js: 'text/javascript',
  mjs: 'text/javascript',
  html: 'text/html',
  css: 'text/css',
  wasm: 'application/wasm',
  svg: 'image/svg+xml',
};

/** A server of a few files, as a page meets it. @returns its address, what was asked of it, and how to end it. */
export async function serve(files: ReadonlyMap<string, Uint8Array>, behaviour: Readonly<Behaviour> = USUAL) {
  const asked: { url: string; range: string | undefined; bytes: number }[] = [];
  const send = sender(behaviour);
  const server = createServer((request, response) => {
    const url = (request.url ?? '/').split('?')[0]!;
    const bytes = files.get(url);
    if (!bytes) return response.writeHead(404).end();
    const { range } = request.headers;
    const [, from, to] = (behaviour.ranges === 'sent' && /^bytes=(\d+)-(\d+)$/.exec(range ?? '')) || [];
    const [start, end] =
      from === undefined ? [0, bytes.length] : [Number(from), Math.min(bytes.length, Number(to) + 1)];
    asked.push({ url, range, bytes: end - start });
    response.writeHead(from === undefined ? 200 : 206, {
      'content-type': TYPES[url.slice(url.lastIndexOf('.') + 1)] ?? 'application/octet-stream',
      ...(behaviour.isolated && {
        'cross-origin-opener-policy': 'same-origin',
        'cross-origin-embedder-policy': 'require-corp',
      }),
      'content-length': end - start,
      ...(from !== undefined && { 'content-range': `bytes ${start}-${end - 1}/${bytes.length}` }),
    });
    return send(response, bytes.subarray(start, end));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const close = () => {
    server.closeAllConnections();
    server.close();
  };
  return { address, asked, close };
}

const TICK_MS = 20;

/** Sends bodies as fast as it behaves, one after another where that is slow, and some not to their end. */
function sender(behaviour: Readonly<Behaviour>) {
  let line = Promise.resolve();
  return (response: ServerResponse, body: Uint8Array): void => {
    const { cut, bytesPerSecond } = behaviour;
    if (cut.times > 0 && body.length > cut.afterBytes) {
      cut.times--;
      response.write(body.subarray(0, cut.afterBytes), () => response.destroy());
    } else if (bytesPerSecond === Number.POSITIVE_INFINITY) response.end(body);
    else line = line.then(() => sendSlowly(response, body, bytesPerSecond));
  };
}

/** Sends what the time since the start allows, tick by tick: a timer that comes late loses nothing. */
async function sendSlowly(response: ServerResponse, body: Uint8Array, bytesPerSecond: number): Promise<void> {
  const started = performance.now();
  for (let sent = 0; sent < body.length && !response.destroyed; ) {
    await new Promise((resolve) => setTimeout(resolve, TICK_MS));
    const due = Math.min(body.length, Math.floor(((performance.now() - started) / 1000) * bytesPerSecond));
    response.write(body.subarray(sent, due));
    sent = due;
  }
  response.end();
}
