import type { TextTokenizer } from './tokenizer.js';

/**
 * Turns tokens into text as they come. A token may hold part of a character, or change how the one before it
 * reads, so text is given once it can no longer change.
 */
export class TextStream {
  private readonly tokens: number[];
  /** Text before this token is out of the way; it is decoded no more. */
  private start = 0;
  private given: string;

  /** The text of `before`, such as a prompt, is not given. */
  constructor(
    private readonly tokenizer: TextTokenizer,
    before: readonly number[],
  ) {
    this.tokens = [...before];
    this.start = Math.max(0, before.length - CONTEXT_TOKENS);
    this.given = tokenizer.decode(this.tokens.slice(this.start));
  }

  /** The text that a token adds; empty while a character is incomplete. */
  push(token: number): string {
    this.tokens.push(token);
    const text = this.tokenizer.decode(this.tokens.slice(this.start));
    if (text.endsWith('\uFFFD')) return '';
    return this.take(text);
  }

  /** What was held back: an incomplete character at the end. */
  finish(): string {
    return this.take(this.tokenizer.decode(this.tokens.slice(this.start)));
  }

  private take(text: string): string {
    const added = text.slice(this.given.length);
    // Decoding from the very start each time would take time that grows with the square of the length.
    this.start = Math.max(this.start, this.tokens.length - CONTEXT_TOKENS);
    this.given = this.tokenizer.decode(this.tokens.slice(this.start));
    return added;
  }
}

/** Tokens before a new one that its text may depend on: a character has at most 4 bytes, each maybe a token. */
const CONTEXT_TOKENS = 8;
