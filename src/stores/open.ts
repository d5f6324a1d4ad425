import { fileURLToPath } from 'node:url';
import { InputError } from '../core/errors.js';
import { FolderStore } from './folder.js';
import { isKey } from './key.js';
import { S3Store } from './s3.js';
import type { S3Place } from './s3-bucket.js';
import type { Store } from './store.js';

/** Scheme of an address. One letter is a drive of Windows. */
const SCHEME = /^([A-Za-z][A-Za-z0-9+.-]+):/;
const BUCKET = /^[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]$/;

/**
 * Opens a store: a path or `file:` address of a folder, or `s3://BUCKET/PREFIX`. Checks that it can be written and read.
 * @throws {InputError} when there is no such store, or it cannot be used. @throws {ConnectionError} when it cannot be reached.
 */
export async function openStore(
  address: string,
  { signal }: { readonly signal?: AbortSignal | undefined } = {},
): Promise<Store> {
  signal?.throwIfAborted();
  const scheme = SCHEME.exec(address)?.[1]?.toLowerCase();
  if (scheme === undefined) return FolderStore.open(address);
  if (scheme === 'file') return FolderStore.open(pathOf(address));
  if (scheme === 's3') return S3Store.open(s3Place(address), signal);
  // without the address, which may contain a password
  throw new InputError(`expected a folder or s3://BUCKET/PREFIX, found ${scheme}:`);
}

function pathOf(address: string): string {
  try {
    return fileURLToPath(address);
  } catch (error) {
    throw new InputError('not the address of a local file', { file: address }, { cause: error });
  }
}

function s3Place(address: string): S3Place {
  const url = URL.canParse(address) ? new URL(address) : undefined;
  if (url?.username || url?.password)
    throw new InputError(
      'credentials do not belong in an s3: address: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY',
    );
  const bucket = url?.hostname ?? '';
  const prefix = (url?.pathname ?? '').replace(/^\//, '').replace(/\/$/, '');
  const isPlain = url && !url.port && !url.search && !url.hash && url.href.length === address.length;
  if (!isPlain || !BUCKET.test(bucket) || (prefix !== '' && !isKey(prefix)))
    throw new InputError(
      'expected s3://BUCKET/PREFIX with letters, digits, ., _ and - in both, and / in the prefix',
    );
  return { bucket, prefix: prefix && `${prefix}/` };
}
