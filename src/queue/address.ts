import { InputError } from '../core/errors.js';
import { registerSecret } from '../core/secrets.js';

/** The address of a server that has a queue. */
export interface Address {
  readonly server: 'redis' | 'postgres';
  /** With user and password. */
  readonly full: string;
  /** Without user, password and options, for messages. */
  readonly name: string;
}

const SERVERS: Readonly<Record<string, Address['server']>> = {
  'redis:': 'redis',
  'rediss:': 'redis',
  'postgres:': 'postgres',
  'postgresql:': 'postgres',
};

/** Parses the address of a queue, and registers its password as a secret. @throws {InputError} when it is no such address. */
export function parseAddress(address: string): Address {
  if (!URL.canParse(address)) throw notAnAddress('it is not an address');
  const url = new URL(address);
  const server = SERVERS[url.protocol];
  if (!server) throw notAnAddress(`found ${url.protocol}//`);
  for (const secret of [url.password, url.searchParams.get('password') ?? ''])
    for (const form of [secret, decode(secret)]) registerSecret(form);
  return { server, full: address, name: `${url.protocol}//${url.host}${url.pathname}` };
}

function notAnAddress(found: string): InputError {
  const expected = 'redis://HOST, rediss://HOST, postgres://HOST/DATABASE or postgresql://HOST/DATABASE';
  return new InputError(`the address of a queue: expected ${expected}, ${found}`);
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
