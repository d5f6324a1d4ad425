/** Text of one byte a character, as old pickles write bytes and names. In pieces: a string grown by characters takes 30 bytes for each. */
export function latin1Text(bytes: Uint8Array): string {
  let text = '';
  for (let start = 0; start < bytes.length; start += PIECE)
    text += String.fromCharCode(...bytes.subarray(start, start + PIECE));
  return text;
}

/** The inverse of {@link latin1Text}. @throws {RangeError} for characters that are no bytes. */
export function latin1Bytes(text: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code > 255) throw new RangeError(`a character ${code} where bytes are expected`);
    bytes[i] = code;
  }
  return bytes;
}

const PIECE = 8192;
