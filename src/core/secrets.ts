import { MESSAGES } from './errors.js';
import { plainLine } from './plain-text.js';

/** Patterns that never appear in messages or terminal output. Servers may echo what they were sent. */
const secrets = new Map<string, RegExp>();
/** Shorter values would match ordinary words. */
const MIN_LENGTH = 6;

/** Registers a value that is redacted from all further messages and output. */
export function registerSecret(value: string): void {
  if (value.length < MIN_LENGTH) return;
  for (const form of [value, encodeURIComponent(value)])
    secrets.set(form, new RegExp(form.replaceAll(/[\\^$.*+?()[\]{}|/-]/g, '\\$&'), 'gi'));
}

/** Replaces every registered secret in a text by `[token]`. */
export function redactSecrets(text: string): string {
  let clean = text;
  for (const pattern of secrets.values()) clean = clean.replaceAll(pattern, '[token]');
  return clean;
}

MESSAGES.clean = (message) => plainLine(redactSecrets(message));
