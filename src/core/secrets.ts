import { MESSAGES } from './errors.js';
import { plainLine } from './plain-text.js';

/** What never appears in a message or on a terminal, whoever says it: servers may echo what they were sent. */
const secrets = new Map<string, RegExp>();
/** Shorter values would be found in words. */
const MIN_LENGTH = 6;

/** Keeps a value out of every error and print from now on. */
export function keepSecret(value: string): void {
  if (value.length < MIN_LENGTH) return;
  for (const form of [value, encodeURIComponent(value)])
    secrets.set(form, new RegExp(form.replaceAll(/[\\^$.*+?()[\]{}|/-]/g, '\\$&'), 'gi'));
}

/** Text with every such value replaced. */
export function withoutSecrets(text: string): string {
  let clean = text;
  for (const pattern of secrets.values()) clean = clean.replaceAll(pattern, '[token]');
  return clean;
}

MESSAGES.clean = (message) => plainLine(withoutSecrets(message));
