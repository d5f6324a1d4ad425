import { createHash, timingSafeEqual } from 'node:crypto';
import { InputError } from '../../core/errors.js';
import { registerSecret } from '../../core/secrets.js';

const MIN_LENGTH = 8;

const digest = (text: string) => createHash('sha256').update(text).digest();

/**
 * Returns a function that tells whether an Authorization header allows reading; without a token everybody may.
 * @throws {InputError} for a token that is too short or cannot be sent, and for none where others than this machine could connect.
 */
export function accessFor(host: string, token: string | undefined): (header: string | undefined) => boolean {
  if (token === undefined) {
    if (isLoopback(host)) return () => true;
    throw new InputError(`listening on ${host}, which other machines reach, needs a token`, undefined, {
      code: 'needs-token',
    });
  }
  if (token.length < MIN_LENGTH || !/^[\x21-\x7e]+$/.test(token))
    throw new InputError(`expected a token of at least ${MIN_LENGTH} visible ASCII characters`);
  registerSecret(token);
  const expected = digest(token);
  return (header) => timingSafeEqual(digest(/^Bearer +(\S+) *$/i.exec(header ?? '')?.[1] ?? ''), expected);
}

/** Returns whether only this machine reaches a server that listens here. */
function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}
