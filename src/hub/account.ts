import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { InputError } from '../core/errors.js';
import { registerSecret } from '../core/secrets.js';

/** Settings for access to the Hub, from the same variables and files as Python's huggingface_hub. */
export interface Account {
  /** Without a slash at the end. */
  readonly endpoint: string;
  readonly token: string | undefined;
  readonly cacheFolder: string;
  /** Whether the network must not be used. */
  readonly offline: boolean;
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Reads HF_ENDPOINT; HF_TOKEN, or the file of HF_TOKEN_PATH, or `token` in HF_HOME; HF_HUB_CACHE, or `hub` in HF_HOME;
 * HF_HUB_OFFLINE. The token is sent only to the endpoint, and is redacted from all output.
 * @throws {InputError} for an endpoint that is not an http address, or a token with invalid characters.
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
    throw new InputError('the Hugging Face token contains invalid characters');
  if (token !== undefined) registerSecret(token);
  return {
    endpoint,
    token,
    cacheFolder: given('HF_HUB_CACHE') ?? given('HUGGINGFACE_HUB_CACHE') ?? join(home, 'hub'),
    offline: /^(1|on|yes|true)$/i.test(given('HF_HUB_OFFLINE') ?? ''),
  };
}
