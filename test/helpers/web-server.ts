import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** How a server behaves; a test may change it at any time. */
export interface Behavior {
  /** What it does with ranges. */
  ranges: 'sent' | 'ignored';
  /** Whether its pages may share memory between threads. */
  isolated: boolean;
  /** Breaks the connection of every answer longer than this behind so many bytes, this many times. */
  cut: { readonly afterBytes: number; times: number };
}

/** A server's usual behavior. */
export const USUAL: Readonly<Behavior> = {
  ranges: 'sent',
  isolated: true,
  cut: { afterBytes: 0, times: 0 },
};

const TYPES: Readonly<Record<string, string>> = {
  js: 'text/javascript',
  mjs: 'text/javascript',
  html: 'text/html',
  css: 'text/css',
  wasm: 'application/wasm',
  svg: 'image/svg+xml',
};

const etags = new WeakMap<Uint8Array, string>();

function etagOf(bytes: Uint8Array): string {
  const etag = etags.get(bytes) ?? `"${createHash('sha256').update(bytes).digest('hex')}"`;
  etags.set(bytes, etag);
  return etag;
}

/** A server of a few files, as a page meets it; under `/elsewhere/` it redirects to them. @returns its address, what was asked of it, and how to end it. */
export async function serve(files: ReadonlyMap<string, Uint8Array>, behavior: Readonly<Behavior> = USUAL) {
  const asked: { url: string; range: string | undefined; bytes: number }[] = [];
  const server = createServer((request, response) => {
    const url = (request.url ?? '/').split('?')[0]!;
    if (url.startsWith('/elsewhere/')) {
      asked.push({ url, range: undefined, bytes: 0 });
      return response.writeHead(302, { location: url.slice('/elsewhere'.length) }).end();
    }
    const bytes = files.get(url);
    if (!bytes) return response.writeHead(404).end();
    const { range } = request.headers;
    const [, from, to] = (behavior.ranges === 'sent' && /^bytes=(\d+)-(\d+)$/.exec(range ?? '')) || [];
    const [start, end] =
      from === undefined ? [0, bytes.length] : [Number(from), Math.min(bytes.length, Number(to) + 1)];
    asked.push({ url, range, bytes: end - start });
    response.writeHead(from === undefined ? 200 : 206, {
      'content-type': TYPES[url.slice(url.lastIndexOf('.') + 1)] ?? 'application/octet-stream',
      ...(behavior.isolated && {
        'cross-origin-opener-policy': 'same-origin',
        'cross-origin-embedder-policy': 'require-corp',
      }),
      // for pages of other origins
      'access-control-allow-origin': '*',
      'cross-origin-resource-policy': 'cross-origin',
      etag: etagOf(bytes),
      'content-length': end - start,
      ...(from !== undefined && { 'content-range': `bytes ${start}-${end - 1}/${bytes.length}` }),
    });
    const { cut } = behavior;
    if (cut.times === 0 || end - start <= cut.afterBytes) return response.end(bytes.subarray(start, end));
    cut.times--;
    return response.write(bytes.subarray(start, start + cut.afterBytes), () => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const close = () => {
    server.closeAllConnections();
    server.close();
  };
  return { address, asked, close };
}
