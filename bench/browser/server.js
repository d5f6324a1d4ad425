// A server of files on disk that sends parts of them, some no faster than a line would.
import { once } from 'node:events';
import { open, stat } from 'node:fs/promises';
import { createServer } from 'node:http';

const TYPES = { js: 'text/javascript', mjs: 'text/javascript', html: 'text/html', wasm: 'application/wasm' };
const CHUNK_BYTES = 2 ** 16;

/**
 * @param {Map<string, { path: string, slow?: boolean }>} files by their addresses
 * @param {number} bytesPerSecond of all slow files together
 * @returns {Promise<{ address: string, close: () => void }>}
 */
export async function serve(files, bytesPerSecond) {
  let freeAt = 0;
  /** Waits until the line has taken so many bytes. */
  const line = async (bytes) => {
    const now = performance.now();
    freeAt = Math.max(freeAt, now) + (1000 * bytes) / bytesPerSecond;
    await new Promise((resolve) => setTimeout(resolve, freeAt - now));
  };
  const server = createServer(async (request, response) => {
    const url = request.url.split('?')[0];
    const file = files.get(url);
    if (!file) return response.writeHead(404).end();
    const { size } = await stat(file.path);
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
    const start = Number(from ?? 0);
    const end = from === undefined ? size : Math.min(size, Number(to) + 1);
    response.writeHead(from === undefined ? 200 : 206, {
      'content-type': TYPES[url.slice(url.lastIndexOf('.') + 1)] ?? 'application/octet-stream',
      'content-length': end - start,
      'cross-origin-opener-policy': 'same-origin',
      'cross-origin-embedder-policy': 'require-corp',
      'cache-control': 'no-store',
      ...(from !== undefined && { 'content-range': `bytes ${start}-${end - 1}/${size}` }),
    });
    const handle = await open(file.path);
    const closed = once(response, 'close');
    try {
      for (let at = start; at < end && !response.destroyed; at += CHUNK_BYTES) {
        const chunk = Buffer.alloc(Math.min(CHUNK_BYTES, end - at));
        await handle.read(chunk, 0, chunk.length, at);
        if (file.slow) await line(chunk.length);
        if (!response.write(chunk)) await Promise.race([once(response, 'drain'), closed]);
      }
    } finally {
      await handle.close();
      response.end();
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    address: `http://127.0.0.1:${server.address().port}`,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
