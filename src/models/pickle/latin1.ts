/** Decodes Latin-1 text. In pieces, because a string built character by character takes 30 bytes for each. */
export function latin1Text(bytes: Uint8Array): string {
  let text = '';
  for (let start = 0; start < bytes.length; start += PIECE)
    text += String.fromCharCode(...bytes.subarray(start, start + PIECE));
  return text;
}

/** Encodes Latin-1 text, the inverse of {@link latin1Text}. @throws {RangeError} for characters above 255. */
export function latin1Bytes(text: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code > 255) throw new RangeError(`expected characters up to 255, found ${code}`);
    bytes[i] = code;
  }
  return bytes;
}

const PIECE = 8192;
