import { InputError } from '../core/errors.js';

/** Limit of a replacement; the longest of Unicode's compatibility forms takes 33 bytes. */
const MAX_TEXT_BYTES = 1024;

/**
 * Replacements of characters that SentencePiece compiles into a model: a double array of UTF-8 prefixes, whose leaves are offsets of
 * zero-terminated texts. Layout: uint32 length of the array in bytes, the array, the texts.
 * https://github.com/google/sentencepiece/blob/master/src/normalizer.cc, https://github.com/s-yata/darts-clone
 */
export class Charsmap {
  private readonly units: Uint32Array;
  private readonly texts: Uint8Array;

  /** @throws {InputError} when the array does not fit. */
  constructor(
    bytes: Uint8Array,
    private readonly file: string,
  ) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const length = bytes.length < 4 ? 0 : view.getUint32(0, true);
    if (length < 4 || length % 4 || length > bytes.length - 4)
      throw new InputError(`precompiled_charsmap: an array of ${length} bytes in ${bytes.length}`, { file });
    this.units = Uint32Array.from({ length: length / 4 }, (_, i) => view.getUint32(4 + 4 * i, true));
    this.texts = bytes.subarray(4 + length);
  }

  /** Returns a text with the longest prefix that has a replacement replaced, again and again. @throws {InputError} on a damaged array. */
  normalize(text: string): string {
    const input = new TextEncoder().encode(text);
    let output = new Uint8Array(2 * input.length + 64);
    let length = 0;
    for (let at = 0; at < input.length; ) {
      const { consumed, replacement } = this.prefix(input, at);
      if (length + replacement.length > output.length) {
        const larger = new Uint8Array(2 * (length + replacement.length));
        larger.set(output);
        output = larger;
      }
      output.set(replacement, length);
      length += replacement.length;
      at += consumed;
    }
    return new TextDecoder('utf-8', { ignoreBOM: true }).decode(output.subarray(0, length));
  }

  /** Finds the longest prefix of the input from `at` that has a replacement; otherwise the character itself. */
  private prefix(input: Uint8Array, at: number) {
    let consumed = 0;
    let offset = 0;
    let node = base(this.unit(0));
    for (let i = at; i < input.length && input[i] !== 0; i++) {
      node ^= input[i]!;
      const unit = this.unit(node);
      if ((unit & 0x800000ff) !== input[i]) break;
      node ^= base(unit);
      if (unit & 0x100) {
        consumed = i - at + 1;
        offset = this.unit(node) & 0x7fffffff;
      }
    }
    if (!consumed) {
      const end = at + characterLength(input[at]!);
      return { consumed: end - at, replacement: input.subarray(at, end) };
    }
    const end = this.texts.indexOf(0, offset);
    if (end < 0 || end - offset > MAX_TEXT_BYTES)
      this.fail(`a text at ${offset} of ${this.texts.length} bytes does not end within ${MAX_TEXT_BYTES}`);
    return { consumed, replacement: this.texts.subarray(offset, end) };
  }

  private unit(index: number): number {
    return this.units[index] ?? this.fail(`unit ${index} of ${this.units.length}`);
  }

  private fail(what: string): never {
    throw new InputError(`precompiled_charsmap: ${what}`, { file: this.file });
  }
}

/** Returns the distance from a unit to its children. */
const base = (unit: number): number => (unit >>> 10) << ((unit & 0x200) >>> 6);

/** Returns the length of a character in UTF-8, by its first byte. */
const characterLength = (byte: number): number => (byte < 0x80 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4);
