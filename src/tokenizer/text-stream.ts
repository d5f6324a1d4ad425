import type { TextTokenizer } from './tokenizer.js';

/**
 * Decodes tokens to text one by one. A token may contain part of a character, so text is returned once it is complete.
 */
export class TextStream {
  private readonly tokens: number[];
  /** Index of the first token that is still decoded. */
  private start = 0;
  /** Decoded text that has been returned, from token `start`. */
  private returned: string;

  /** @param before tokens, such as a prompt, whose text is not returned. */
  constructor(
    private readonly tokenizer: TextTokenizer,
    before: readonly number[],
  ) {
    this.tokens = [...before];
    this.start = Math.max(0, before.length - CONTEXT_TOKENS);
    this.returned = tokenizer.decode(this.tokens.slice(this.start));
  }

  /** Returns the text that a token adds; empty while a character is incomplete. */
  push(token: number): string {
    this.tokens.push(token);
    const text = this.tokenizer.decode(this.tokens.slice(this.start));
    if (text.endsWith('\uFFFD')) return '';
    return this.take(text);
  }

  /** Returns the rest of the text: an incomplete character at the end. */
  finish(): string {
    return this.take(this.tokenizer.decode(this.tokens.slice(this.start)));
  }

  private take(text: string): string {
    const added = text.slice(this.returned.length);
    // decoding from the first token each time would take quadratic time
    this.start = Math.max(this.start, this.tokens.length - CONTEXT_TOKENS);
    this.returned = this.tokenizer.decode(this.tokens.slice(this.start));
    return added;
  }
}

/** Number of previous tokens that a token's text may depend on: a character has at most 4 bytes, possibly each a token. */
const CONTEXT_TOKENS = 8;
