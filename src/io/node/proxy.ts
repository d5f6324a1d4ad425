import { InputError } from '../../core/errors.js';
import { TRANSPORT } from '../request.js';

// Node's fetch ignores proxies. If the environment names one, requests go through undici's client, which is loaded only then.

type Environment = Readonly<Record<string, string | undefined>>;

/** Lower case takes precedence, as in curl and Python. */
const VARIABLES = ['http_proxy', 'HTTP_PROXY', 'https_proxy', 'HTTPS_PROXY'] as const;

let client: Promise<(url: URL, init: RequestInit) => Promise<Response>> | undefined;

TRANSPORT.fetch = async (url, init) => {
  if (!VARIABLES.some((name) => process.env[name])) return fetch(url, init);
  client ??= proxied(process.env);
  return (await client)(url, init);
};

/** Returns a `fetch` through HTTP_PROXY and HTTPS_PROXY, except for the hosts in NO_PROXY. @throws {InputError} for an invalid address. */
async function proxied(environment: Environment) {
  const wrong = VARIABLES.find((name) => environment[name] && !isAddress(environment[name]));
  if (wrong) throw new InputError(`${wrong} is not an http address`); // its value is not shown: it may contain a password
  const { EnvHttpProxyAgent, fetch: send } = await import('undici');
  const dispatcher = new EnvHttpProxyAgent();
  return (url: URL, init: RequestInit) =>
    send(url, { ...init, dispatcher } as object) as unknown as Promise<Response>;
}

const isAddress = (text: string) => URL.canParse(text) && /^https?:$/.test(new URL(text).protocol);
