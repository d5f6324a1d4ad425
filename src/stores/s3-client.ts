import type { S3, S3ClientConfig } from '@aws-sdk/client-s3';
import { InputError } from '../core/errors.js';
import { registerSecret } from '../core/secrets.js';
import { refusalOf } from './s3-errors.js';

/** An optional package: as a variable, neither the compiler nor a bundler looks for it. */
export const SDK: { package: string } = { package: '@aws-sdk/client-s3' };

const TIMEOUTS = { connectionTimeout: 10_000, socketTimeout: 60_000 };

/**
 * Returns a client with the endpoint, the region and the credentials that the SDK finds.
 * @throws {InputError} when the package is not installed, or there is no region or are no credentials.
 */
export async function createClient(bucket: string, place: string): Promise<S3> {
  // every start on Node 20 would warn of versions of the SDK that are not published yet
  process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED ??= 'true';
  const sdk = await loadSdk();
  const client = new sdk.S3(SETTINGS);
  try {
    await client.config.region();
    await registerCredentials(client);
    client.config.forcePathStyle = await isForeign(client);
    return client;
  } catch (error) {
    client.destroy();
    throw refusalOf(error, 'any request', bucket, { file: place });
  }
}

const SETTINGS = {
  maxAttempts: 1, // S3Requests tries again
  followRegionRedirects: true,
  requestHandler: TIMEOUTS,
  responseChecksumValidation: 'WHEN_REQUIRED', // what is read has checksums of ours
  ignoreCache: true, // so that files of credentials are read again when they have expired
} satisfies S3ClientConfig & { readonly ignoreCache: boolean };

/** Asks for credentials again, although those that are known may seem valid. */
export async function renewCredentials(client: S3): Promise<void> {
  const ask: (options: { forceRefresh: boolean }) => Promise<unknown> = client.config.credentials;
  await ask({ forceRefresh: true });
  await registerCredentials(client);
}

async function registerCredentials(client: S3): Promise<void> {
  const { accessKeyId, secretAccessKey, sessionToken = '' } = await client.config.credentials();
  for (const secret of [accessKeyId, secretAccessKey, sessionToken]) registerSecret(secret);
}

/** Returns whether the endpoint is not of AWS. Such servers seldom have a host name for each bucket. */
async function isForeign(client: S3): Promise<boolean> {
  const endpoint = await client.config.serviceConfiguredEndpoint?.();
  if (endpoint === undefined) return false;
  if (!URL.canParse(endpoint)) throw new InputError('AWS_ENDPOINT_URL is not an address');
  const { hostname, password } = new URL(endpoint);
  registerSecret(decodeURIComponent(password));
  return !/\.amazonaws\.com(\.cn)?$/.test(hostname);
}

async function loadSdk(): Promise<typeof import('@aws-sdk/client-s3')> {
  try {
    return await import(SDK.package);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error;
    throw new InputError(`an s3: address needs a package: npm install ${SDK.package}`, {}, { cause: error });
  }
}
