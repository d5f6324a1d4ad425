import { InputError } from '../../core/errors.js';
import { TRANSPORT } from '../request.js';

// Node asks no proxy by itself. Where the environment names one, requests go through it; its client is loaded only then.

type Environment = Readonly<Record<string, string | undefined>>;

/** Lower case wins, as curl and Python have it. */
const VARIABLES = ['http_proxy', 'HTTP_PROXY', 'https_proxy', 'HTTPS_PROXY'] as const;

let client: Promise<(url: URL, init: RequestInit) => Promise<Response>> | undefined;

TRANSPORT.fetch = async (url, init) => {
  if (!VARIABLES.some((name) => process.env[name])) return fetch(url, init);
  client ??= proxied(process.env);
  return (await client)(url, init);
};

/** `fetch` through the proxies of HTTP_PROXY and HTTPS_PROXY, but to the hosts of NO_PROXY. @throws {InputError} for no address. */
async function proxied(environment: Environment) {
  const wrong = VARIABLES.find((name) => environment[name] && !isAddress(environment[name]));
  if (wrong) throw new InputError(`${wrong} is not an http address`); // not shown: it may hold a password
  const { EnvHttpProxyAgent, fetch: send } = await import('undici');
  const dispatcher = new EnvHttpProxyAgent();
  return (url: URL, init: RequestInit) =>
    send(url, { ...init, dispatcher } as object) as unknown as Promise<Response>;
}

const isAddress = (text: string) => URL.canParse(text) && /^https?:$/.test(new URL(text).protocol);
