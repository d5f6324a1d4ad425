import type { ByteSource } from '../core/byte-source.js';

/** Longer reads bypass the window. */
export const SMALL_BYTES = 2 ** 15;
const WINDOW_BYTES = 2 ** 18;

/**
 * Returns a source that serves small consecutive reads from a window, so that hundreds of thousands of small tensors do not cost a system
 * call each. Remote sources are returned unchanged, because the window may read bytes twice.
 */
export function readAhead(source: ByteSource): ByteSource {
  if (!source.isLocal) return source;
  let window = { start: 0, end: 0, bytes: Promise.resolve<Uint8Array>(new Uint8Array()) };
  const read = async (start: number, end: number, signal?: AbortSignal): Promise<Uint8Array> => {
    if (end - start > SMALL_BYTES || end > source.byteLength) return source.read(start, end, signal);
    if (start < window.start || end > window.end) {
      const last = Math.min(source.byteLength, start + WINDOW_BYTES);
      window = { start, end: last, bytes: source.read(start, last, signal) };
    }
    const { start: first, bytes } = window;
    return (await bytes).slice(start - first, end - first);
  };
  return {
    name: source.name,
    byteLength: source.byteLength,
    ...(source.descriptor !== undefined && { descriptor: source.descriptor }),
    read,
    async readInto(target, start, signal) {
      if (target.length > SMALL_BYTES && source.readInto) return source.readInto(target, start, signal);
      target.set(await read(start, start + target.length, signal));
    },
    ...(source.verify && { verify: source.verify.bind(source) }),
    close: () => source.close(),
  };
}
