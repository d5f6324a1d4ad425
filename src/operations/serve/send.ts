import type { ServerResponse } from 'node:http';
import type { Reply, StreamedBody } from './reply.js';

/** Pages may read everything that they could read without a browser. */
const COMMON = {
  'access-control-allow-origin': '*',
  'access-control-allow-methods': 'GET, HEAD, OPTIONS',
  'access-control-allow-headers': '*, Authorization',
  'access-control-expose-headers': '*',
  'access-control-max-age': '86400',
  'x-content-type-options': 'nosniff',
};

/**
 * Sends an answer no faster than it is read. @param onBytes is called with the number of bytes of each part of the body.
 * @throws when the first bytes of the body cannot be read; nothing is sent then. Later the connection is cut, so that nobody takes a part
 * for the whole, before it throws.
 */
export async function send(
  response: ServerResponse,
  { status, headers, body }: Reply,
  onBytes: (count: number) => void,
): Promise<void> {
  const all = { ...COMMON, ...headers };
  if (typeof body === 'object')
    return sendStream(response, body, () => response.writeHead(status, all), onBytes);
  response.writeHead(status, all);
  response.end(body);
  onBytes(Buffer.byteLength(body ?? ''));
}

async function sendStream(
  response: ServerResponse,
  body: StreamedBody,
  writeHead: () => void,
  onBytes: (count: number) => void,
): Promise<void> {
  const chunks = body.chunks()[Symbol.asyncIterator]();
  try {
    let next = await chunks.next();
    writeHead();
    for (; !next.done && !response.destroyed; next = await chunks.next()) {
      await write(response, next.value);
      onBytes(next.value.length);
    }
    response.end();
  } catch (error) {
    if (response.headersSent) response.destroy();
    throw error;
  } finally {
    await chunks.return?.();
    body.close();
  }
}

/** Writes bytes, and waits until they are not needed any more: the system has them, or the reader has gone. */
function write(response: ServerResponse, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      response.off('close', done);
      resolve();
    };
    response.on('close', done);
    response.write(bytes, done);
  });
}
