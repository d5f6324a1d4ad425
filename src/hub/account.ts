import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { InputError } from '../core/errors.js';
import { registerSecret } from '../core/secrets.js';

/** Where the Hub is, who asks, and where downloads are kept: by the same variables and files as Python's huggingface_hub. */
export interface Account {
  /** Without a slash at the end. */
  readonly endpoint: string;
  readonly token: string | undefined;
  readonly cacheFolder: string;
  /** Nothing is asked of the network. */
  readonly offline: boolean;
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Reads HF_ENDPOINT; HF_TOKEN, or the file of HF_TOKEN_PATH, or `token` in HF_HOME; HF_HUB_CACHE, or `hub` in HF_HOME;
 * HF_HUB_OFFLINE. The token is sent to the endpoint alone, and is never written or printed, whoever echoes it.
 * @throws {InputError} on an endpoint that is no address, or a token that cannot be one.
 */
export async function readAccount(environment: Environment = process.env): Promise<Account> {
  const given = (name: string) => environment[name]?.trim() || undefined;
  const home = given('HF_HOME') ?? join(given('XDG_CACHE_HOME') ?? join(homedir(), '.cache'), 'huggingface');
  const endpoint = (given('HF_ENDPOINT') ?? 'https://huggingface.co').replace(/\/+$/, '');
  if (!/^https?:$/.test(URL.canParse(endpoint) ? new URL(endpoint).protocol : ''))
    throw new InputError('HF_ENDPOINT is not an http address');
  registerSecret(new URL(endpoint).password);
  const stored = () =>
    readFile(given('HF_TOKEN_PATH') ?? join(home, 'token'), 'utf8').then(
      (text) => text.trim() || undefined,
      () => undefined,
    );
  const token = given('HF_TOKEN') ?? given('HUGGING_FACE_HUB_TOKEN') ?? (await stored());
  if (token !== undefined && !/^[\x21-\x7e]+$/.test(token))
    throw new InputError('the token for the Hub has characters that no token has');
  if (token !== undefined) registerSecret(token);
  return {
    endpoint,
    token,
    cacheFolder: given('HF_HUB_CACHE') ?? given('HUGGINGFACE_HUB_CACHE') ?? join(home, 'hub'),
    offline: /^(1|on|yes|true)$/i.test(given('HF_HUB_OFFLINE') ?? ''),
  };
}
