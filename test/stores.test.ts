import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { inspect } from 'node:util';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { ConnectionError, InputError } from '../src/core/errors.js';
import { disk } from '../src/io/node/disk.js';
import { isKey } from '../src/stores/key.js';
import { openStore } from '../src/stores/open.js';
import { createClient, SDK } from '../src/stores/s3-client.js';
import { partBytes } from '../src/stores/s3-upload.js';
import type { Store } from '../src/stores/store.js';
import { TRIES } from '../src/stores/tries.js';
import { setS3Environment } from './helpers/environment.js';
import { withFault } from './helpers/faulty-disk.js';
import { type Fault, S3Server } from './helpers/s3-server.js';
import { folder } from './helpers/safetensors.js';
import { all, bytesOf, refusal, storeContract, textOf } from './helpers/store-contract.js';

const KEY = 'ACCESSKEYTHATWORKS';
const SECRET = 'nobody+else/knows+this';
const MIB = 2 ** 20;

const server = await new S3Server('bucket').start();
const usual = { ...TRIES };
let restore = () => {};
beforeAll(() => {
  TRIES.firstWaitMs = 0;
});
beforeEach(() => {
  server.reset();
  server.keys.clear();
  server.keys.set(KEY, undefined);
  restore = setS3Environment({
    AWS_ENDPOINT_URL: server.endpoint,
    AWS_ACCESS_KEY_ID: KEY,
    AWS_SECRET_ACCESS_KEY: SECRET,
  });
});
afterEach(() => restore());
afterAll(async () => {
  Object.assign(TRIES, usual);
  await server.stop();
});

const environment = () => ({
  AWS_ENDPOINT_URL: server.endpoint,
  AWS_ACCESS_KEY_ID: KEY,
  AWS_SECRET_ACCESS_KEY: SECRET,
});

/** Opens before the hooks of each test have run. */
async function openEarly(address: string): Promise<Store> {
  server.keys.set(KEY, undefined);
  const back = setS3Environment(environment());
  return openStore(address).finally(back);
}

describe('a folder, as a store,', () => storeContract(() => openStore(folder())));
describe('S3, as a store,', () => {
  server.pageLength = 3;
  storeContract(() => openEarly('s3://bucket/a/prefix'));
});

test('the key of an object is a path without surprises', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.stringMatching(/^[a./\\ -]{1,12}$/),
        fc.webPath(),
        fc.string({ unit: 'binary' }),
      ),
      (text) => {
        const isPlain =
          /^[\w.-]+(\/[\w.-]+)*$/.test(text) &&
          join('/root', text) === `/root/${text}` &&
          !text.split('/').includes('.') &&
          !/\.partial(\/|$)/.test(text);
        return isKey(text) === isPlain;
      },
    ),
    { numRuns: 500, seed: 3 },
  );
});

describe('an address', () => {
  test('is a path, or one of a file', async () => {
    const place = folder();
    for (const address of [place, `${place}/`, pathToFileURL(place).href]) {
      const store = await openStore(address);
      expect(store.name).toBe(place);
    }
    expect(readdirSync(place)).toEqual([]);
  });

  test.each([
    ['redis://user:hidden@host/0', 'expected a folder or s3://BUCKET/PREFIX, found redis:'],
    ['https://bucket.s3.amazonaws.com/x?hidden', 'expected a folder or s3://BUCKET/PREFIX, found https:'],
    ['gs://bucket/x', 'expected a folder or s3://BUCKET/PREFIX, found gs:'],
    ['s3://key:hidden@bucket/x', /credentials do not belong in an s3: address/],
    ['s3://', /^expected s3:\/\/BUCKET\/PREFIX/],
    ['s3:///prefix', /^expected s3:\/\/BUCKET\/PREFIX/],
    ['s3://bucket:99/x', /^expected s3:\/\/BUCKET\/PREFIX/],
    ['s3://bucket/a/../b', /^expected s3:\/\/BUCKET\/PREFIX/],
    ['s3://bucket/a//b', /^expected s3:\/\/BUCKET\/PREFIX/],
    ['s3://bucket/a b', /^expected s3:\/\/BUCKET\/PREFIX/],
    ['s3://bucket/a?b', /^expected s3:\/\/BUCKET\/PREFIX/],
    ['s3://bucket/a#b', /^expected s3:\/\/BUCKET\/PREFIX/],
    ['s3://x/a', /^expected s3:\/\/BUCKET\/PREFIX/],
    ['file://elsewhere/a', /not the address of a local file/],
  ])('%s is refused', async (address, message) => {
    const error = await refusal(openStore(address));
    expect(error.message).toMatch(message);
    expect(error.message).not.toContain('hidden');
  });
});

describe('a folder', () => {
  test('that is missing, or a file, is refused', async () => {
    const place = folder({ file: 'x' });
    expect((await refusal(openStore(join(place, 'no')))).message).toMatch(/no: no such file or directory$/);
    expect((await refusal(openStore(join(place, 'file')))).message).toMatch(
      /: expected a folder, found a file$/,
    );
    expect((await refusal(openStore(join(place, 'file/x')))).message).toMatch(/not a directory$/);
  });

  test('that cannot be written to is refused, and is not changed', async () => {
    const place = folder();
    const { create } = disk;
    disk.create = () => Promise.reject(Object.assign(new Error('EROFS'), { code: 'EROFS' }));
    const error = await refusal(openStore(place)).finally(() => {
      disk.create = create;
    });
    expect(error.message).toMatch(/: the file system is read-only$/);
    expect(readdirSync(place)).toEqual([]);
  });

  test('that is gone, such as one that is no longer mounted, is not made again', async () => {
    const place = join(folder(), 'mounted');
    mkdirSync(place);
    const store = await openStore(place);
    rmSync(place, { recursive: true });
    expect((await refusal(store.write('a/b', [bytesOf('x')]))).message).toMatch(/no such file or directory$/);
    expect((await refusal(all(store.list('')))).message).toMatch(/no such file or directory$/);
    expect(existsSync(place)).toBe(false);
  });

  test.each(['ENOSPC', 'EIO'] as const)(
    'whose disk says %s leaves no object, wherever that is',
    async (code) => {
      const place = folder();
      const store = await openStore(place);
      const content = Array.from({ length: 5 }, () => new Uint8Array(100).fill(7));
      let n = 0;
      for (; ; n++) {
        const key = `${code}/${n}/x`;
        const { error } = await withFault(n, code, () => store.write(key, content));
        if (!error) break;
        expect(error).toBeInstanceOf(InputError);
        expect((error as Error).message).toMatch(
          code === 'ENOSPC' ? /: no space left on the device$/ : /: the device reported an error$/,
        );
        const size = await store.size(key);
        expect([undefined, 500]).toContain(size); // it has its name when only the folder could not be synced
        if (size === undefined) expect(await store.write(key, content)).toBe(true);
      }
      expect(n).toBeGreaterThan(5);
      const left = readdirSync(place, { recursive: true, encoding: 'utf8' });
      // one remains where it could not be removed
      expect(left.filter((name) => name.endsWith('.partial')).length).toBeLessThan(2);
      for await (const { bytes } of store.list('')) expect(bytes).toBe(500);
    },
  );

  test('without hard links keeps the first object too', async () => {
    const store = await openStore(folder());
    const { link } = disk;
    disk.link = () => Promise.reject(Object.assign(new Error('EPERM'), { code: 'EPERM' }));
    try {
      expect(await store.write('a', [bytesOf('first')])).toBe(true);
      expect(await store.write('a', [bytesOf('second')])).toBe(false);
    } finally {
      disk.link = link;
    }
    expect(textOf(await store.read('a'))).toBe('first');
    expect(await all(store.list(''))).toEqual([['a', 5]]);
  });

  test('whose server links twice, as its first answer was lost, has written the object', async () => {
    const place = folder();
    const store = await openStore(place);
    const { link } = disk;
    disk.link = async (from, to) => {
      await link(from, to);
      throw Object.assign(new Error('EEXIST'), { code: 'EEXIST' });
    };
    try {
      expect(await store.write('a', [bytesOf('first')])).toBe(true);
    } finally {
      disk.link = link;
    }
    expect(readdirSync(place)).toEqual(['a']);
  });

  test('that another writer was faster in has its object, not the one whose pieces come late', async () => {
    const place = folder();
    const store = await openStore(place);
    async function* slow() {
      yield bytesOf('slow');
      expect(await store.write('a', [bytesOf('fast')])).toBe(true);
      yield bytesOf('er');
    }
    expect(await store.write('a', slow())).toBe(false);
    expect(textOf(await store.read('a'))).toBe('fast');
    expect(readdirSync(place)).toEqual(['a']);
  });

  test('in which a writer is killed has a file that nobody takes for an object, until it is swept', async () => {
    const place = folder();
    const script = `
      import { openStore } from ${JSON.stringify(join(process.cwd(), 'dist/stores/open.js'))};
      const store = await openStore(${JSON.stringify(place)});
      await store.write('done/x', [new Uint8Array(10)]);
      async function* endless() {
        for (let i = 0; ; i++) {
          yield new Uint8Array(2 ** 20);
          if (i === 3) { console.log('half'); await new Promise((done) => setTimeout(done, 1e6)); }
        }
      }
      await store.write('half/x', endless());`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(child.stdout!, 'data');
    child.kill('SIGKILL');
    await once(child, 'close');

    const store = await openStore(place);
    const [left, ...others] = readdirSync(join(place, 'half'));
    expect(left).toMatch(/^x\..*\.partial$/);
    expect(others).toEqual([]);
    expect(await all(store.list(''))).toEqual([['done/x', 10]]);
    expect(await store.size('half/x')).toBeUndefined();
    await refusal(store.read('half/x'));
    await refusal(store.read(`half/${left}`));

    expect(await store.sweep(3_600_000)).toBe(0);
    expect(readdirSync(join(place, 'half'))).toEqual([left]);
    const yesterday = Date.now() / 1000 - 86_400;
    utimesSync(join(place, 'half', left!), yesterday, yesterday);
    expect(await store.sweep(3_600_000)).toBe(1);
    expect(readdirSync(join(place, 'half'))).toEqual([]);
    expect(await store.write('half/x', [bytesOf('whole')])).toBe(true);
    expect(await all(store.list(''))).toEqual([
      ['done/x', 10],
      ['half/x', 5],
    ]);
  });

  test('that has files of others beside does not list them', async () => {
    const place = folder({ 'a b': 'x', '.hidden': 'y', 'c/d e': 'z' });
    expect(await all((await openStore(place)).list(''))).toEqual([['.hidden', 1]]);
  });
});

describe('S3', () => {
  /** Puts a fault in front of the first requests of an operation. */
  const failing = (operation: string, fault: Fault, times = Infinity) => {
    let count = 0;
    server.fault = (asked) => (asked.operation === operation && count++ < times ? fault : undefined);
  };
  let store: Store;
  let round = 0;
  beforeEach(async () => {
    store = await openStore(`s3://bucket/faults/${++round}/`);
    server.reset();
  });
  afterEach(async () => {
    restore();
    await store.close();
    expect([...server.uploads.keys()]).toEqual([]);
  });
  const LARGE = 9 * MIB + 5;
  const large = () => {
    const bytes = new Uint8Array(LARGE);
    for (let i = 0; i < bytes.length; i += 997) bytes[i] = i;
    return bytes;
  };

  test('has objects below the prefix alone, and is named without its end', async () => {
    expect(store.name).toBe(`s3://bucket/faults/${round}`);
    await store.write('a', [bytesOf('x')]);
    expect(server.asked[0]!.url).toMatch(new RegExp(`^/bucket/faults/${round}/a\\b`));
    const above = await openStore('s3://bucket');
    expect(await all(above.list(`faults/${round}`))).toEqual([[`faults/${round}/a`, 1]]);
    await above.close();
  });

  /** Those that are tried on uploads in parts too. */
  const LARGE_FAULTS = new Set(['500', '400 BadDigest', 'a broken connection', 'a lost answer']);
  const TRANSIENT: [string, Fault][] = [
    ['500', { status: 500, code: 'InternalError' }],
    ['503 SlowDown', { status: 503, code: 'SlowDown' }],
    ['502 without a body', { status: 502 }],
    ['429', { status: 429, code: 'TooManyRequests' }],
    ['400 RequestTimeout', { status: 400, code: 'RequestTimeout' }],
    ['400 BadDigest', { status: 400, code: 'BadDigest' }],
    ['409 OperationAborted', { status: 409, code: 'OperationAborted' }],
    ['a broken connection', 'reset'],
    ['a lost answer', 'lost'],
  ];
  test.each(TRANSIENT)('after %s asks again, whatever it asked', async (_, fault) => {
    failing('PutObject', fault, 3);
    expect(await store.write('a', [bytesOf('hello')])).toBe(true);
    failing('GetObject', fault, 3);
    expect(await store.size('a')).toBe(5);
    failing('GetObject', fault, 3);
    expect(textOf(await store.read('a'))).toBe('hello');
    failing('ListObjectsV2', fault, 3);
    expect(await all(store.list(''))).toEqual([['a', 5]]);
    failing('DeleteObject', fault, 3);
    await store.remove('a');
  });

  test.each(TRANSIENT.filter(([name]) => LARGE_FAULTS.has(name)))(
    'after %s sends a part again',
    async (_, fault) => {
      const asked = new Set<string>();
      server.fault = ({ operation }) => {
        const isFirst = !asked.has(operation);
        asked.add(operation);
        return isFirst ? fault : undefined;
      };
      expect(await store.write('large', [large()])).toBe(true);
      for (const operation of ['CreateMultipartUpload', 'UploadPart', 'CompleteMultipartUpload'])
        expect(server.count(operation)).toBeGreaterThan(1);
      expect(await store.size('large')).toBe(LARGE);
      server.uploads.clear(); // of answers that were lost
    },
  );

  test.each(TRANSIENT)('after %s without an end gives up', async (name, fault) => {
    failing('GetObject', fault);
    const error = await refusal(store.size('a'));
    expect(error).toBeInstanceOf(ConnectionError);
    const said = {
      'a broken connection': 'cannot be reached (ECONNRESET)',
      'a lost answer': 'cannot be reached (ECONNRESET)',
    }[name];
    expect(error.message).toMatch(`${store.name}/a: ${said ?? 'the server answered'}`);
    expect(error.message).toMatch(/, 8 times in a row$/);
    expect(server.count('GetObject')).toBe(8);
  });

  test('reads a body that is cut on from where it stopped', async () => {
    const bytes = large().subarray(0, 3 * MIB);
    await store.write('a', [bytes]);
    const { readBytes } = store.traffic;
    server.reset();
    failing('GetObject', { cutAfter: MIB }, 2);
    expect(await store.read('a')).toEqual(bytes);
    const ranges = server.asked.map(({ headers }) => headers.range);
    expect(ranges).toHaveLength(3);
    expect(ranges[0]).toBeUndefined();
    const starts = ranges.slice(1).map((range) => Number(/^bytes=(\d+)-3145727$/.exec(range!)?.[1]));
    expect(starts[0]).toBeGreaterThan(0);
    expect(starts[0]).toBeLessThanOrEqual(MIB);
    expect(starts[1]).toBeGreaterThan(starts[0]!);
    expect(store.traffic.readBytes - readBytes).toBe(bytes.length);
  });

  test('gives up on a body that is cut again and again', async () => {
    await store.write('a', [bytesOf('hello')]);
    server.reset();
    failing('GetObject', { cutAfter: 0 });
    const error = await refusal(store.read('a', 1, 4));
    expect(error).toBeInstanceOf(ConnectionError);
    expect(error.message).toMatch(/a, bytes 1-4: .*, 8 times in a row$/);
    expect(server.count('GetObject')).toBe(8);
  });

  test('does not take another range for the one that it asked for', async () => {
    await store.write('a', [bytesOf('0123456789')]);
    const answered = async (headers: Record<string, string>, body: string, status = 206) => {
      const wrong = await new S3Server('bucket').start();
      wrong.keys.set(KEY, undefined);
      process.env.AWS_ENDPOINT_URL = wrong.endpoint;
      const opened = await openStore('s3://bucket/x');
      Object.assign(wrong, { answer: () => ({ status, headers, body }) });
      return refusal(opened.read('a', 2, 5)).finally(async () => {
        await opened.close();
        await wrong.stop();
      });
    };
    expect((await answered({ 'content-range': 'bytes 3-5/10' }, '345')).message).toMatch(
      /expected bytes from 2 on, the server sent bytes 3-5\/10$/,
    );
    expect((await answered({}, '0123456789', 200)).message).toMatch(
      /expected bytes from 2 on, the server sent all$/,
    );
    expect((await answered({ 'content-range': 'bytes 2-9/10' }, '23456789')).message).toMatch(
      /the server sent more bytes than requested$/,
    );
    expect((await answered({ 'content-range': 'bytes 2-3/4' }, '23')).message).toMatch(
      /range is outside the 4 bytes$/,
    );
  });

  test('uploads large objects in parts of 8 MiB, with checksums, and in equal ones if the length is known', async () => {
    const bytes = large();
    expect(await store.write('parts', [bytes.subarray(0, 100), bytes.subarray(100)])).toBe(true);
    const parts = server.asked.filter(({ operation }) => operation === 'UploadPart');
    expect(parts.map(({ body }) => body.length).sort((a, b) => a - b)).toEqual([MIB + 5, 8 * MIB]);
    for (const { headers } of parts) expect(headers['x-amz-checksum-crc32']).toBeTruthy();
    const complete = server.asked.find(({ operation }) => operation === 'CompleteMultipartUpload')!;
    expect(complete.headers['if-none-match']).toBe('*');
    expect(complete.body.toString().match(/<ChecksumCRC32>/g)).toHaveLength(2);
    expect(store.traffic.writtenBytes).toBe(bytes.length);
    expect(await store.read('parts')).toEqual(bytes);

    server.reset();
    expect(await store.write('parts', [bytes], undefined, bytes.length)).toBe(false);
    expect(server.asked.map(({ operation }) => operation)).toEqual(['GetObject']);
    expect(await store.write('parts', [bytes])).toBe(false);
    expect(server.count('AbortMultipartUpload')).toBe(1);
  });

  test('has parts enough for the largest object', () => {
    const TIB = 2 ** 40;
    const sum = (byteLength?: number) =>
      Array.from({ length: 10_000 }, (_, part) => partBytes(part, byteLength)).reduce((a, b) => a + b);
    expect(sum()).toBeGreaterThan(5 * TIB);
    expect(sum(5 * TIB)).toBeGreaterThanOrEqual(5 * TIB);
    expect(partBytes(0, 40 * 2 ** 30)).toBe(8 * MIB);
    expect(partBytes(9999, 100 * 2 ** 30)).toBe(11 * MIB);
  });

  test('frees the parts of an upload that fails', async () => {
    failing('UploadPart', { status: 507, code: 'XMinioStorageFull' });
    const error = await refusal(store.write('a', [large()]));
    expect(error.message).toBe(`${store.name}/a: the storage is full (XMinioStorageFull)`);
    expect(server.count('AbortMultipartUpload')).toBe(1);
    expect(server.count('CompleteMultipartUpload')).toBe(0);
    expect(await store.size('a')).toBeUndefined();
  });

  test('frees the parts of an upload that is aborted', async () => {
    const stop = new AbortController();
    server.fault = ({ operation }) => {
      if (operation === 'UploadPart') stop.abort(new Error('enough'));
      return undefined;
    };
    await expect(store.write('a', [large()], stop.signal)).rejects.toThrow('enough');
    expect(server.count('AbortMultipartUpload')).toBe(1);
  });

  test('sweeps uploads that were not finished', async () => {
    server.uploads.set('old', {
      key: `faults/${round}/a`,
      metadata: {},
      parts: new Map(),
      initiated: new Date(Date.now() - 86_400_000),
    });
    server.uploads.set('new', { ...server.uploads.get('old')!, initiated: new Date() });
    server.uploads.set('of another', { ...server.uploads.get('old')!, key: 'faults/a' });
    expect(await store.sweep(3_600_000)).toBe(1);
    expect([...server.uploads.keys()]).toEqual(['new', 'of another']);
    server.uploads.clear();
  });

  test('whose other writer is faster has its object', async () => {
    for (const [key, bytes] of [
      ['small', bytesOf('slow')],
      ['large', large()],
    ] as const) {
      async function* pieces() {
        yield bytes;
        server.objects.set(`faults/${round}/${key}`, { bytes: Buffer.from('fast'), metadata: {} });
      }
      expect(await store.write(key, pieces())).toBe(false);
      expect(textOf(await store.read(key))).toBe('fast');
    }
  });

  test('after a conflict with another writer sees who was first', async () => {
    for (const operation of ['PutObject', 'CompleteMultipartUpload']) {
      const key = `faults/${round}/${operation}`;
      const bytes = operation === 'PutObject' ? bytesOf('slow') : large();
      let conflicts = 0;
      server.fault = (asked) => {
        if (asked.operation !== operation) return;
        if (++conflicts === 2) server.objects.set(key, { bytes: Buffer.from('fast'), metadata: {} });
        return conflicts <= 2 ? { status: 409, code: 'ConditionalRequestConflict' } : undefined;
      };
      expect(await store.write(operation, [bytes])).toBe(false);
      expect(conflicts).toBe(3);
      conflicts = 1;
      expect(await store.write(`${operation}-2`, [bytes])).toBe(true);
    }
  });

  const ANSWERS: [string, Fault, string | RegExp][] = [
    ['of a bucket that is not there', { status: 404, code: 'NoSuchBucket' }, 'bucket bucket does not exist'],
    ['of a key that is not known', { status: 403, code: 'InvalidAccessKeyId' }, /check AWS_ACCESS_KEY_ID/],
    ['of a wrong secret', { status: 403, code: 'SignatureDoesNotMatch' }, /check AWS_SECRET_ACCESS_KEY/],
    ['of a wrong session token', { status: 400, code: 'InvalidToken' }, /session token: sign in again/],
    [
      'of credentials that have expired',
      { status: 400, code: 'ExpiredToken' },
      /have expired: sign in again/,
    ],
    ['of too few rights', { status: 403, code: 'AccessDenied' }, /access denied: .* do not allow PutObject$/],
    ['of a full disk', { status: 507, code: 'InsufficientStorage' }, /the storage is full/],
    ['of a quota', { status: 403, code: 'QuotaExceeded' }, 'the storage is full (QuotaExceeded)'],
    ['of MinIO that is full', { status: 507, code: 'XMinioStorageFull' }, /the storage is full/],
    ['of another region', { status: 400, code: 'AuthorizationHeaderMalformed' }, /set AWS_REGION$/],
    [
      'of another kind',
      { status: 400, code: 'EntityTooLarge', message: 'too large' },
      /the server refuses PutObject: EntityTooLarge too large$/,
    ],
  ];
  test.each(ANSWERS)('says one line %s, at once', async (_, fault, said) => {
    failing('PutObject', fault);
    const error = await refusal(store.write('a', [bytesOf('x')]));
    expect(error).not.toBeInstanceOf(ConnectionError);
    expect(error.message).toMatch(said);
    expect(error.message.startsWith(`${store.name}/a: `)).toBe(true);
    expect(server.count('PutObject')).toBeLessThanOrEqual(2);
    failing('PutObject', fault);
    expect((await refusal(openStore('s3://bucket/other'))).message).toMatch(said);
  });

  test('never tells a secret, even if the server does', async () => {
    failing('PutObject', { status: 400, code: 'Strange', message: `${KEY} ${SECRET}` });
    const { message } = await refusal(store.write('a', [bytesOf('x')]));
    expect(message).toMatch(/Strange \[token\] \[token\]$/);
  });

  describe('with credentials in a file', () => {
    const write = (key: string) =>
      writeFileSync(
        process.env.AWS_SHARED_CREDENTIALS_FILE!,
        `[default]\naws_access_key_id = ${key}\naws_secret_access_key = ${SECRET}-of-${key}\naws_session_token = token-of-${key}\n`,
      );
    beforeEach(() => {
      for (const name of ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY']) delete process.env[name];
      server.keys.set('FIRSTKEY', undefined);
      write('FIRSTKEY');
    });

    test('that have expired, looks for new ones, once', async () => {
      const opened = await openStore('s3://bucket/file');
      server.keys.set('FIRSTKEY', 'ExpiredToken');
      server.keys.set('SECONDKEY', undefined);
      write('SECONDKEY');
      server.reset();
      expect(await opened.write('a', [bytesOf('x')])).toBe(true);
      expect(server.asked.map(({ headers }) => /Credential=(\w+)/.exec(headers.authorization!)![1])).toEqual([
        'FIRSTKEY',
        'SECONDKEY',
      ]);
      server.keys.set('SECONDKEY', 'ExpiredToken');
      const error = await refusal(opened.write('b', [bytesOf('x')]));
      expect(error.message).toMatch(
        /the credentials have expired: sign in again, or set new AWS_ACCESS_KEY_ID/,
      );
      expect(inspect(error, { depth: 20, showHidden: true })).not.toMatch(/token-of|SECRET-of|knows\+this/);
      await opened.close();
    });
  });

  test('without credentials says what to set', async () => {
    for (const name of ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY']) delete process.env[name];
    expect((await refusal(openStore('s3://bucket/x'))).message).toBe(
      's3://bucket/x: no credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE',
    );
  });

  test('has the bucket in the path, unless the endpoint is of AWS', async () => {
    const isInPath = async () => {
      const client = await createClient('bucket', 's3://bucket');
      client.destroy();
      return client.config.forcePathStyle;
    };
    expect(await isInPath()).toBe(true);
    process.env.AWS_ENDPOINT_URL_S3 = 'https://s3.eu-west-1.amazonaws.com';
    expect(await isInPath()).toBe(false);
    for (const name of ['AWS_ENDPOINT_URL', 'AWS_ENDPOINT_URL_S3']) delete process.env[name];
    expect(await isInPath()).toBe(false);
    for (const name of ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY']) delete process.env[name];
    const keys = `aws_access_key_id = ${KEY}\naws_secret_access_key = ${SECRET}\n`;
    writeFileSync(
      process.env.AWS_CONFIG_FILE!,
      `[profile minio]\nendpoint_url = http://localhost:9000\n${keys}`,
    );
    process.env.AWS_PROFILE = 'minio';
    expect(await isInPath()).toBe(true);
    process.env.AWS_ENDPOINT_URL = 'not an address';
    expect((await refusal(isInPath())).message).toBe('AWS_ENDPOINT_URL is not an address');
  });

  test('without a region says what to set', async () => {
    delete process.env.AWS_REGION;
    expect((await refusal(openStore('s3://bucket/x'))).message).toMatch(/no region is set: set AWS_REGION/);
  });

  test('of a bucket that is not there says so', async () => {
    expect((await refusal(openStore('s3://another/x'))).message).toBe(
      's3://another/x: bucket another does not exist',
    );
  });

  test('of a server that nobody is at gives up', async () => {
    process.env.AWS_ENDPOINT_URL = 'http://127.0.0.1:1';
    const error = await refusal(openStore('s3://bucket/x'));
    expect(error).toBeInstanceOf(ConnectionError);
    expect(error.message).toBe('s3://bucket/x: cannot be reached (ECONNREFUSED), 8 times in a row');
  });

  test('of a server that replaces objects is refused', async () => {
    server.isConditional = false;
    const before = [...server.objects.keys()];
    const error = await refusal(openStore('s3://bucket/x')).finally(() => {
      server.isConditional = true;
    });
    expect(error.message).toMatch(/the server replaces objects/);
    expect([...server.objects.keys()]).toEqual(before);
  });

  test('without the package says how to install it', async () => {
    const name = SDK.package;
    SDK.package = 'a-package-that-is-not-installed';
    const error = await refusal(openStore('s3://bucket/x')).finally(() => {
      SDK.package = name;
    });
    expect(error.message).toBe('an s3: address needs a package: npm install a-package-that-is-not-installed');
    expect(name).toBe('@aws-sdk/client-s3');
    expect(readFileSync('package.json', 'utf8')).toContain(`"${name}"`);
  });
});
