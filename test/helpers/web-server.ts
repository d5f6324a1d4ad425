import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What a server does with ranges. */
export type Ranges = 'sent' | 'ignored';

/** A server of a few files, as a page meets it. @returns its address, what was asked of it, and how to end it. */
export async function serve(files: ReadonlyMap<string, Uint8Array>, ranges: () => Ranges = () => 'sent') {
  const asked: { url: string; range: string | undefined; bytes: number }[] = [];
  const server = createServer((request, response) => {
    const url = (request.url ?? '/').split('?')[0]!;
    const bytes = files.get(url);
    if (!bytes) return response.writeHead(404).end();
    const { range } = request.headers;
    const [, from, to] = (ranges() === 'sent' && /^bytes=(\d+)-(\d+)$/.exec(range ?? '')) || [];
    const [start, end] =
      from === undefined ? [0, bytes.length] : [Number(from), Math.min(bytes.length, Number(to) + 1)];
    asked.push({ url, range, bytes: end - start });
    const type = /\.m?js$/.test(url)
      ? 'text/javascript'
      : url.endsWith('.html')
        ? 'text/html'
        : url.endsWith('.wasm')
          ? 'application/wasm'
          : 'application/octet-stream';
    response.writeHead(from === undefined ? 200 : 206, {
      'content-type': type,
      // isolated, so that threads share memory
      'cross-origin-opener-policy': 'same-origin',
      'cross-origin-embedder-policy': 'require-corp',
      'content-length': end - start,
      ...(from !== undefined && { 'content-range': `bytes ${start}-${end - 1}/${bytes.length}` }),
    });
    return response.end(bytes.subarray(start, end));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const close = () => {
    server.closeAllConnections();
    server.close();
  };
  return { address, asked, close };
}
