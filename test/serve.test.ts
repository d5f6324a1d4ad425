import { spawn } from 'node:child_process';
import {
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { type IncomingMessage, request, type ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, test, vi } from 'vitest';
import {
  type AnsweredRequest,
  compress,
  exportGguf,
  inspect,
  open,
  type ServeOptions,
  type Serving,
  serve,
} from '../src/index.js';
import { RETRIES } from '../src/io/request.js';
import { Cache } from '../src/operations/serve/cache.js';
import { Gate } from '../src/operations/serve/gate.js';
import { FRESH, nameOfPath } from '../src/operations/serve/library.js';
import { parseRange } from '../src/operations/serve/range.js';
import { LIMITS, type Limits, listen } from '../src/operations/serve/server.js';
import { complaint, weightpress } from './helpers/cli.js';
import { FIXTURES } from './helpers/fixtures.js';
import { HubServer, sha256 } from './helpers/hub-server.js';
import { folder, safetensors, seededRandom } from './helpers/safetensors.js';

const HUB_NAME = 'someone/model';
const random = seededRandom(1);
const floats = (count: number) =>
  new Uint8Array(Float32Array.from({ length: count }, () => (random() + random() - 1) / 50).buffer);
const tensor = (name: string, rows: number, columns: number) => ({
  name,
  dtype: 'F32',
  shape: [rows, columns],
  data: floats(rows * columns),
});
const weights = safetensors([tensor('a', 700, 1000), tensor('b', 3, 5), tensor('c', 300, 900)]);
/** More than one piece of a side file, and weights of more than one block. */
const FILES: Readonly<Record<string, Uint8Array>> = {
  'README.md': Buffer.from('# A model'),
  'config.json': Buffer.from('{"model_type":"test"}'),
  'extra/deep/notes.txt': Buffer.from('notes'),
  'extra/empty.txt': Buffer.alloc(0),
  'model.safetensors': weights,
  'tokenizer.json': Buffer.from(JSON.stringify(Array.from({ length: 300_000 }, (_, i) => (i * 79) % 1009))),
};

const place = folder();
const models = join(place, 'models');
const at = (name: string) => join(models, name);
/** A .wpk of few bytes that restores 40 MiB. */
const zeros = join(place, 'zeros.wpk');
const servings: Serving[] = [];
let serving: Serving;
let hub: HubServer;
const requests: AnsweredRequest[] = [];
const problems: string[] = [];

/** A server of a folder, closed at the end of the tests. */
async function started(path: string, options: ServeOptions = {}): Promise<Serving> {
  const found = await serve(path, { port: 0, threads: 0, ...options });
  servings.push(found);
  return found;
}
const url = (path: string, of = serving) => `${of.url}/${path}`;
const resolved = (file: string, name = HUB_NAME) => url(`${name}/resolve/main/${file}`);
const bytesOf = async (response: Response) => new Uint8Array(await response.arrayBuffer());
const digestOf = async (address: string) => sha256(await bytesOf(await fetch(address)));
const jsonOf = async (path: string, of = serving) => (await fetch(url(path, of))).json();

/** What a server answers to a target that `fetch` would tidy up; its body, and whether all of it came. */
function raw(target: string, { method = 'GET', headers = {}, of = serving } = {}) {
  return new Promise<{
    status: number;
    headers: IncomingMessage['headers'];
    body: Buffer;
    isComplete: boolean;
  }>((resolve, reject) => {
    const { hostname, port } = new URL(of.url);
    const asking = request({ hostname, port, path: target, method, headers }, (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part) => parts.push(part)).on('error', () => {});
      response.on('close', () =>
        resolve({
          status: response.statusCode!,
          headers: response.headers,
          body: Buffer.concat(parts),
          isComplete: response.complete,
        }),
      );
    });
    asking.on('error', reject).end();
  });
}

beforeAll(async () => {
  RETRIES.firstWaitMs = 2;
  FRESH.ms = 100;
  hub = await HubServer.start();
  hub.add(HUB_NAME, FILES);
  process.env.HF_HOME = join(place, 'home');
  process.env.HF_ENDPOINT = hub.endpoint;
  process.env.HF_TOKEN = '';
  mkdirSync(join(models, 'sub'), { recursive: true });
  await compress(HUB_NAME, at('copy.wpk'), { threads: 0 });
  await compress(join(FIXTURES, 'llama'), at('sub/llama.wpk'), { threads: 0 });
  writeFileSync(at('broken.wpk'), 'not one');
  const data = new Uint8Array(40 * 2 ** 20);
  const file = safetensors([{ name: 'w', dtype: 'U8', shape: [data.length], data }]);
  writeFileSync(join(place, 'model.safetensors'), file);
  await compress(join(place, 'model.safetensors'), zeros, { threads: 0 });
  serving = await started(models, {
    onRequest: (answered) => requests.push(answered),
    onProblem: (problem) => problems.push(problem),
  });
});
afterAll(async () => {
  await Promise.all(servings.map((each) => each.close()));
  await hub.stop();
});

describe('a model is served as the repository that it was made of', () => {
  it('to weightpress, which finds every file with the digest of its original', async () => {
    process.env.HF_ENDPOINT = serving.url;
    process.env.HF_HOME = join(place, 'home-2');
    const again = join(place, 'again.wpk');
    await compress(HUB_NAME, again, { threads: 0 });
    const { sideFiles, weightFiles, source } = await inspect(again);
    expect(sideFiles.map(({ name }) => name)).toContain('tokenizer.json');
    expect(source).toMatch(/^someone\/model@[0-9a-f]{40}$/);
    expect(
      Object.fromEntries([...sideFiles, ...weightFiles].map((file) => [file.name, file.sha256])),
    ).toEqual(Object.fromEntries(Object.entries(FILES).map(([name, bytes]) => [name, sha256(bytes)])));
    const models = await Promise.all([open(HUB_NAME), open(again)]);
    const [first] = models[0].tensors;
    expect(await first!.bytes({ start: 1_500_000, end: 1_500_100 })).toEqual(
      (await models[1].readTensor('a')).slice(1_500_000, 1_500_100),
    );
    await Promise.all(models.map((model) => model.close()));
  });

  it('by its name on the Hub and by its path', async () => {
    expect(await serving.models()).toEqual(['copy', 'sub/llama', HUB_NAME]);
    const names = (await jsonOf('api/models')).map(({ id }: { id: string }) => id);
    expect(names).toEqual(['copy', 'sub/llama', HUB_NAME]);
    expect((await jsonOf('api/models?search=LLAMA')).length).toBe(1);
    expect((await jsonOf('api/models?author=someone&limit=5')).length).toBe(1);
    for (const name of ['copy', HUB_NAME])
      expect(await digestOf(resolved('tokenizer.json', name))).toBe(sha256(FILES['tokenizer.json']!));
    expect(nameOfPath('a/b/c d+.wpk')).toBe('b/c-d-');
  });

  it('with what clients read of it: commit, files, digests, dates', async () => {
    const info = await jsonOf(`api/models/${HUB_NAME}/revision/main?blobs=true`);
    expect(info.sha).toMatch(/^[0-9a-f]{40}$/);
    expect(await jsonOf(`api/models/${HUB_NAME}/revision/${info.sha}?blobs=true`)).toEqual(info);
    expect(info).toMatchObject({ id: HUB_NAME, private: false, gated: false });
    for (const { rfilename, size, lfs } of info.siblings) {
      const bytes = FILES[rfilename]!;
      expect({ size, oid: lfs.oid }).toEqual({ size: bytes.length, oid: sha256(bytes) });
    }
    expect(info.siblings).toHaveLength(6);
    expect((await jsonOf(`api/models/${HUB_NAME}`)).siblings[0]).toEqual({ rfilename: 'README.md' });
    const { branches } = await jsonOf(`api/models/${HUB_NAME}/refs`);
    expect(branches).toEqual([{ name: 'main', ref: 'refs/heads/main', targetCommit: info.sha }]);
  });

  it('as a tree: of a folder or of all, page by page', async () => {
    const tree = (rest: string) => jsonOf(`api/models/${HUB_NAME}/tree/main${rest}`);
    const paths = (entries: { path: string; type: string }[]) =>
      entries.map(({ path, type }) => (type === 'file' ? path : `${path}/`)).sort();
    const top = ['README.md', 'config.json', 'extra/', 'model.safetensors', 'tokenizer.json'];
    expect(paths(await tree(''))).toEqual(top);
    expect(paths(await tree('/extra'))).toEqual(['extra/deep/', 'extra/empty.txt']);
    const all = await tree('?recursive=true&expand=1');
    expect(paths(all)).toEqual([...top, 'extra/deep/', 'extra/deep/notes.txt', 'extra/empty.txt'].sort());
    expect(all[0].lastCommit.date).toMatch(/^\d{4}-/);
    const found = [];
    let next = url(`api/models/${HUB_NAME}/tree/main?recursive=True&limit=3`);
    for (let pages = 0; next; pages++) {
      expect(pages).toBeLessThan(4);
      const response = await fetch(next);
      found.push(...(await response.json()));
      next = /^<(.*)>; rel="next"$/.exec(response.headers.get('link') ?? '')?.[1] ?? '';
    }
    expect(found).toEqual(await tree('?recursive=true'));
    expect(await tree('?recursive=true&limit=0&cursor=x')).toEqual(found);
  });

  it('what is missing is said by the codes of the Hub, without a body after HEAD too', async () => {
    const missing: [path: string, code: string | undefined][] = [
      [`${HUB_NAME}/resolve/main/none.json`, 'EntryNotFound'],
      [`${HUB_NAME}/resolve/v2/config.json`, 'RevisionNotFound'],
      [`someone/else/resolve/main/config.json`, 'RepoNotFound'],
      [`api/models/${HUB_NAME}/revision/v2`, 'RevisionNotFound'],
      [`api/models/${HUB_NAME}/tree/main/nowhere`, 'EntryNotFound'],
      ['api/models/someone/else', 'RepoNotFound'],
      ['nothing/here', undefined],
    ];
    for (const [path, code] of missing)
      for (const method of ['GET', 'HEAD']) {
        const { status, headers } = await fetch(url(path), { method });
        expect([status, headers.get('x-error-code') ?? undefined], path).toEqual([404, code]);
      }
    expect((await fetch(resolved('none.json'))).headers.get('x-repo-commit')).toMatch(/^[0-9a-f]{40}$/);
  });
});

describe('a file', () => {
  it('has the headers that clients check', async () => {
    const { sha } = await jsonOf(`api/models/${HUB_NAME}`);
    const bytes = FILES['model.safetensors']!;
    const tag = `"${sha256(bytes)}"`;
    const { status, headers, body } = await raw(`/${HUB_NAME}/resolve/main/model.safetensors`, {
      method: 'HEAD',
    });
    expect(status).toBe(200);
    expect(body).toHaveLength(0);
    expect(headers).toMatchObject({
      etag: tag,
      'x-linked-etag': tag,
      'x-linked-size': `${bytes.length}`,
      'content-length': `${bytes.length}`,
      'x-repo-commit': sha,
      'accept-ranges': 'bytes',
      'access-control-allow-origin': '*',
      'access-control-expose-headers': '*',
      'cache-control': 'private, no-cache',
      'x-content-type-options': 'nosniff',
    });
    const pinned = await fetch(url(`${HUB_NAME}/resolve/${sha}/extra/deep/notes.txt`));
    expect(pinned.headers.get('cache-control')).toContain('immutable');
    expect(await pinned.text()).toBe('notes');
    expect(await bytesOf(await fetch(resolved('extra/empty.txt')))).toHaveLength(0);
    const again = await fetch(resolved('config.json'), { headers: { 'if-none-match': `W/"x", ${tag}` } });
    expect(again.status).toBe(200);
    const known = await fetch(resolved('model.safetensors'), {
      headers: { 'if-none-match': `W/"x", ${tag}` },
    });
    expect([known.status, await known.text()]).toEqual([304, '']);
  });

  it.each(['model.safetensors', 'tokenizer.json'])('%s: any range has its bytes', async (name) => {
    const bytes = FILES[name]!;
    const next = seededRandom(5);
    const ranges = [
      [0, 1],
      [bytes.length - 1, bytes.length],
      [0, bytes.length],
      [2 ** 20 - 3, 2 ** 20 + 3],
      ...Array.from({ length: 40 }, () => {
        const start = Math.floor(next() * bytes.length);
        return [start, start + 1 + Math.floor(next() * 700_000)];
      }),
    ] as const;
    for (const [start, end] of ranges) {
      const response = await fetch(resolved(name), { headers: { range: `bytes=${start}-${end! - 1}` } });
      const last = Math.min(end!, bytes.length);
      expect(response.status).toBe(206);
      expect(response.headers.get('content-range')).toBe(`bytes ${start}-${last - 1}/${bytes.length}`);
      expect(sha256(await bytesOf(response))).toBe(sha256(bytes.subarray(start, last)));
    }
  });

  it('ranges behind the end are refused, malformed and several ones ignored', async () => {
    const bytes = FILES['config.json']!;
    const asked = async (range: string, more = {}) => {
      const response = await fetch(resolved('config.json'), { headers: { range, ...more } });
      return [response.status, response.headers.get('content-range'), (await bytesOf(response)).length];
    };
    expect((await asked('bytes=21-')).slice(0, 2)).toEqual([416, 'bytes */21']);
    expect((await asked('bytes=-0')).slice(0, 2)).toEqual([416, 'bytes */21']);
    expect((await asked('bytes=99999999999999999999-')).slice(0, 2)).toEqual([416, 'bytes */21']);
    expect(await asked('bytes=-4')).toEqual([206, 'bytes 17-20/21', 4]);
    expect(await asked('bytes=-400')).toEqual([206, 'bytes 0-20/21', 21]);
    expect(await asked('bytes=15-400')).toEqual([206, 'bytes 15-20/21', 6]);
    for (const range of ['bytes=5-2', 'bytes=a-b', 'bytes=-', 'lines=1-2', 'bytes=0-1,3-4', 'bytes=0x1-2'])
      expect(await asked(range), range).toEqual([200, null, bytes.length]);
    expect(await asked('bytes=1-2', { 'if-range': '"another"' })).toEqual([200, null, bytes.length]);
    expect(await asked('bytes=1-2', { 'if-range': `"${sha256(bytes)}"` })).toEqual([206, 'bytes 1-2/21', 2]);
    expect(parseRange(undefined, 5)).toBeUndefined();
  });

  it('is only read: other methods are refused, and pages may ask', async () => {
    for (const method of ['POST', 'PUT', 'DELETE', 'PATCH']) {
      const response = await fetch(resolved('config.json'), { method });
      expect([response.status, response.headers.get('allow')]).toEqual([405, 'GET, HEAD, OPTIONS']);
    }
    const asked = await fetch(resolved('config.json'), {
      method: 'OPTIONS',
      headers: { origin: 'https://example.org', 'access-control-request-headers': 'range, authorization' },
    });
    expect(asked.status).toBe(204);
    expect(asked.headers.get('access-control-allow-headers')).toContain('Authorization');
  });

  it('of any codec and format has the digest that its .wpk records, of a lossy one that of the decoded weights', async () => {
    const vectors = 'spec/vectors';
    const names = readdirSync(vectors).filter(
      (name) => name.endsWith('.wpk') && !name.startsWith('malformed'),
    );
    const said: string[] = [];
    const of = await started(vectors, { onProblem: (problem) => said.push(problem) });
    for (const name of names) {
      const model = name.slice(0, -4);
      const { sideFiles, weightFiles } = await inspect(join(vectors, name));
      const tree = await jsonOf(`api/models/${model}/tree/main?recursive=1`, of);
      const oids = new Map(
        tree.map(({ path, lfs }: { path: string; lfs?: { oid: string } }) => [path, lfs?.oid]),
      );
      for (const file of [...sideFiles, ...weightFiles]) {
        const address = url(`${model}/resolve/main/${file.name}`, of);
        const bytes = await bytesOf(await fetch(address));
        expect([sha256(bytes), oids.get(file.name)], `${name}, ${file.name}`).toEqual([
          file.sha256,
          file.sha256,
        ]);
        const middle = bytes.length >> 1;
        const part = await bytesOf(
          await fetch(address, { headers: { range: `bytes=${middle}-${middle + 998}` } }),
        );
        if (bytes.length) expect(sha256(part)).toBe(sha256(bytes.subarray(middle, middle + 999)));
      }
    }
    expect(said.length).toBeGreaterThan(20);
    for (const problem of said) expect(problem).toContain('malformed-');
  });
});

describe('GGUF', () => {
  it('is a repository beside the model, whose files are what exportGguf writes', async () => {
    const tree = await jsonOf('api/models/sub/llama-GGUF/tree/main?recursive=true');
    expect(tree.map(({ path }: { path: string }) => path)).toEqual(['model-F16.gguf', 'model-Q8_0.gguf']);
    const model = await open(at('sub/llama.wpk'));
    for (const [i, type] of (['F16', 'Q8_0'] as const).entries()) {
      const path = join(place, `${type}.gguf`);
      await exportGguf(model, path, { type });
      const expected = readFileSync(path);
      const file = resolved(`model-${type}.gguf`, 'sub/llama-GGUF');
      expect(sha256(await bytesOf(await fetch(file)))).toBe(sha256(expected));
      expect(tree[i].lfs).toMatchObject({ oid: sha256(expected), size: expected.length });
      const part = await fetch(file, { headers: { range: 'bytes=70000-' } });
      expect(sha256(await bytesOf(part))).toBe(sha256(expected.subarray(70_000)));
    }
    await model.close();
    const own = await jsonOf('api/models/sub/llama');
    expect(own.siblings.some(({ rfilename }: { rfilename: string }) => rfilename.endsWith('.gguf'))).toBe(
      false,
    );
  });

  it('is named by the tag that llama.cpp asks for', async () => {
    const named = async (tag: string) =>
      (await jsonOf(`v2/sub/llama-GGUF/manifests/${tag}`)).ggufFile?.rfilename;
    expect(await named('q8_0')).toBe('model-Q8_0.gguf');
    expect(await named('F16')).toBe('model-F16.gguf');
    expect(await named('latest')).toBe('model-Q8_0.gguf');
    expect(await named('Q4_K_M')).toBeUndefined();
  });

  it('is not offered for a model that llama.cpp does not run, nor without room for it', async () => {
    expect((await fetch(url(`api/models/${HUB_NAME}-GGUF`))).headers.get('x-error-code')).toBe(
      'RepoNotFound',
    );
    const of = await started(models, { madeBytes: 0 });
    expect((await fetch(url('api/models/sub/llama-GGUF', of))).status).toBe(404);
  });

  it('is made again after it had to make room, and is gone when the server ends', async () => {
    const temporary = folder();
    vi.stubEnv('TMPDIR', temporary);
    const of = await started(models, { madeBytes: 1 });
    const made = () => readdirSync(temporary, { recursive: true }).length;
    const digests = [];
    for (const type of ['F16', 'Q8_0', 'F16'])
      digests.push(await digestOf(url(`sub/llama-GGUF/resolve/main/model-${type}.gguf`, of)));
    vi.unstubAllEnvs();
    expect(digests[0]).toBe(digests[2]);
    expect(digests[0]).not.toBe(digests[1]);
    await vi.waitFor(() => expect(made()).toBe(2)); // the folder and the last file
    await of.close();
    expect(made()).toBe(0);
  });
});

describe('a token', () => {
  const token = 'a-long-secret-token';
  let of: Serving;
  beforeAll(async () => {
    of = await started(models, { token });
  });
  const status = async (authorization: string | undefined, path = `${HUB_NAME}/resolve/main/config.json`) =>
    (await fetch(url(path, of), { headers: authorization === undefined ? {} : { authorization } })).status;

  it('is needed for everything but the health check', async () => {
    for (const wrong of [
      undefined,
      '',
      'Bearer',
      'Bearer wrong',
      `Basic ${token}`,
      `Bearer ${token}x`,
      token,
    ])
      for (const path of [
        `${HUB_NAME}/resolve/main/config.json`,
        'api/models',
        'metrics',
        'a/b/resolve/main/c',
      ])
        expect(await status(wrong, path), `${wrong} ${path}`).toBe(401);
    expect(await status(`Bearer ${token}`)).toBe(200);
    expect(await status(undefined, 'healthz')).toBe(200);
  });

  it('is asked for before others than this machine are let in', async () => {
    for (const host of ['0.0.0.0', '::', '192.0.2.1', 'example.org'])
      await expect(serve(models, { host, port: 0 })).rejects.toThrow(/needs a token/);
    await expect(serve(models, { port: 0, token: 'short' })).rejects.toThrow(/at least 8/);
    const open = await started(models, { host: '0.0.0.0', token });
    expect((await fetch(url('metrics', open).replace('0.0.0.0', '127.0.0.1'))).status).toBe(401);
  });
});

describe('the folder', () => {
  const changing = folder();
  const in_ = (name: string) => join(changing, name);
  let of: Serving;
  const found: string[] = [];
  beforeAll(async () => {
    copyFileSync(at('copy.wpk'), in_('first.wpk'));
    of = await started(changing, { onProblem: (problem) => found.push(problem) });
  });
  const later = () => sleep(150);

  it('is looked at again: files come, go, and are replaced', async () => {
    const before = (await jsonOf('api/models/first', of)).sha;
    copyFileSync(at('sub/llama.wpk'), in_('second.wpk'));
    copyFileSync(at('sub/llama.wpk'), in_('new.partial'));
    await later();
    expect(await of.models()).toEqual(['first', 'second', HUB_NAME]);
    renameSync(in_('new.partial'), in_('first.wpk'));
    await later();
    const after = (await jsonOf('api/models/first', of)).sha;
    expect(after).not.toBe(before);
    expect(after).toBe((await jsonOf('api/models/second', of)).sha);
    expect((await fetch(url(`api/models/first/revision/${before}`, of))).headers.get('x-error-code')).toBe(
      'RevisionNotFound',
    );
    rmSync(in_('second.wpk'));
    await later();
    expect((await fetch(url('second/resolve/main/model.safetensors', of))).headers.get('x-error-code')).toBe(
      'RepoNotFound',
    );
  });

  it('a file that is removed while it is sent is sent to its end', async () => {
    copyFileSync(zeros, in_('zeros.wpk'));
    await later();
    const response = await fetch(url('zeros/resolve/main/model.safetensors', of));
    const reader = response.body!.getReader();
    let got = (await reader.read()).value!.length;
    rmSync(in_('zeros.wpk'));
    await later();
    expect(await of.models()).not.toContain('zeros');
    for (let next = await reader.read(); !next.done; next = await reader.read()) got += next.value.length;
    expect(got).toBe(Number(response.headers.get('content-length')));
  });

  it('of two files of one model, neither is chosen unless one alone is lossless', async () => {
    const same = folder();
    copyFileSync(at('copy.wpk'), join(same, 'a.wpk'));
    copyFileSync(at('copy.wpk'), join(same, 'b.wpk'));
    for (const part of ['x', 'y']) {
      mkdirSync(join(same, part, 'sub'), { recursive: true });
      copyFileSync(at('sub/llama.wpk'), join(same, part, 'sub/llama.wpk'));
    }
    const said: string[] = [];
    const both = await started(same, { onProblem: (problem) => said.push(problem) });
    expect(await both.models()).toEqual(['a', 'b']);
    await both.models();
    expect(said).toEqual([
      expect.stringMatching(/x\/sub\/llama\.wpk, .*y\/sub\/llama\.wpk: served under no name/),
      expect.stringMatching(/a\.wpk, .*b\.wpk: served by their paths, because each is someone\/model$/),
    ]);
  });

  it('the lossless one of two has the name, whichever comes first', async () => {
    const mixed = folder();
    const name = 'someone/small';
    hub.add(name, { 'config.json': '{}', 'model.safetensors': safetensors([tensor('w', 64, 64)]) });
    vi.stubEnv('HF_ENDPOINT', hub.endpoint);
    await compress(name, join(mixed, 'a-lossy.wpk'), {
      codec: { transform: 'haar' },
      budget: { bits: 16 },
      calibration: false,
    });
    const of = await started(mixed);
    const shaOf = async (asked: string) => (await jsonOf(`api/models/${asked}`, of)).sha;
    expect(await shaOf(name)).toBe(await shaOf('a-lossy'));
    await compress(name, join(mixed, 'b.wpk'), { threads: 0 });
    vi.unstubAllEnvs();
    await sleep(150);
    expect(await shaOf(name)).toBe(await shaOf('b'));
    expect(await shaOf('b')).not.toBe(await shaOf('a-lossy'));
  });

  it('links do not lead out of it', async () => {
    const linked = folder();
    symlinkSync(at('copy.wpk'), join(linked, 'copy.wpk'));
    symlinkSync(models, join(linked, 'models'));
    expect(await (await started(linked)).models()).toEqual([]);
    await expect(serve(join(linked, 'none'), { port: 0 })).rejects.toThrow(/no such file or directory/);
  });
});

describe('hostile requests', () => {
  it('no path leads out of a model', async () => {
    const secret = join(models, 'secret.txt');
    writeFileSync(secret, 'secret');
    const targets = [
      '..',
      '../../secret.txt',
      '%2e%2e/%2e%2e/secret.txt',
      '..%2f..%2fsecret.txt',
      '%252e%252e%252fsecret.txt',
      '..\\..\\secret.txt',
      '..%5c..%5csecret.txt',
      secret,
      encodeURIComponent(secret),
      'config.json%00',
      'config.json%00.txt',
      './config.json',
      'extra/../config.json',
      '%ff',
      '%',
      'config.json/',
      '/config.json',
      '',
    ];
    for (const target of targets) {
      const { status, body } = await raw(`/${HUB_NAME}/resolve/main/${target}`);
      expect([400, 404], target).toContain(status === 200 && target === 'config.json/' ? 404 : status);
      expect(body.toString()).not.toContain('secret\n');
    }
    for (const target of [
      '/secret.txt',
      '/../secret.txt',
      '//etc/passwd',
      '/copy.wpk',
      '/api/models/../../etc/passwd',
      '/api/models/%2e%2e/tree/main',
      `/${HUB_NAME}/resolve/..%2f..%2fmain/config.json`,
      `/${HUB_NAME}/tree/main`,
      '/v2/../manifests/latest',
      '/__proto__/resolve/main/constructor',
      '/api/models/constructor',
      'http://elsewhere/api/models',
      '*',
    ])
      expect([400, 404], target).toContain((await raw(target)).status);
  });

  it('long addresses and headers are refused', async () => {
    expect((await raw(`/${'a'.repeat(5000)}`)).status).toBe(400);
    expect((await raw('/healthz', { headers: { cookie: 'a'.repeat(20_000) } })).status).toBe(431);
    expect((await raw(`/${HUB_NAME}/resolve/main/${'a/'.repeat(900)}`)).status).toBe(404);
    expect((await raw('/healthz')).status).toBe(200);
  });

  it('a damaged block cuts the connection, and nothing else suffers', async () => {
    const damaged = folder();
    const bytes = readFileSync(at('copy.wpk'));
    const behindFirst = Math.floor(bytes.length * 0.6);
    bytes[behindFirst]! ^= 1;
    writeFileSync(join(damaged, 'damaged.wpk'), bytes);
    copyFileSync(at('sub/llama.wpk'), join(damaged, 'good.wpk'));
    const said: string[] = [];
    const of = await started(damaged, { onProblem: (problem) => said.push(problem) });
    const target = '/damaged/resolve/main/model.safetensors';
    const { status, isComplete, body } = await raw(target, { of });
    expect(status).toBe(200);
    expect(isComplete).toBe(false);
    expect(body.length).toBeLessThan(weights.length);
    expect(body.equals(weights.subarray(0, body.length))).toBe(true);
    expect(said.at(-1)).toMatch(/damaged\.wpk, .*checksum/);
    const only = await raw(target, { of, headers: { range: `bytes=${body.length}-${body.length + 10}` } });
    expect(only.status).toBe(500);
    expect(only.body.toString()).toBe('{"error":"the file cannot be read"}\n');
    expect(await digestOf(url('good/resolve/main/model.safetensors', of))).toMatch(/^[0-9a-f]{64}$/);
  });

  it('a file that cannot be read is reported once', async () => {
    await serving.models();
    await sleep(150);
    await serving.models();
    expect(problems.filter((problem) => problem.includes('broken.wpk'))).toEqual([
      expect.stringMatching(/not a \.wpk file/),
    ]);
  });

  it('who does not read is not sent more than the connection holds', async () => {
    const large = folder();
    copyFileSync(zeros, join(large, 'zeros.wpk'));
    const done: AnsweredRequest[] = [];
    const of = await started(large, { cacheBytes: 2 ** 24, onRequest: (each) => done.push(each) });
    const { port } = new URL(of.url);
    const sockets = Array.from({ length: 4 }, () => {
      const socket = connect(Number(port), '127.0.0.1').pause();
      socket
        .on('error', () => {})
        .write('GET /zeros/resolve/main/model.safetensors HTTP/1.1\r\nHost: x\r\n\r\n');
      return socket;
    });
    let text = '';
    const count = (name: string) => Number(new RegExp(`^weightpress_${name} (\\d+)$`, 'm').exec(text)?.[1]);
    for (let before = -1, sent = 0; sent === 0 || sent - before > 2 ** 16; ) {
      before = sent;
      await sleep(200); // until the connections hold what they can
      text = await (await fetch(url('metrics', of))).text();
      sent = count('sent_bytes_total');
    }
    const sent = count('sent_bytes_total');
    expect(sent).toBeLessThan(4 * 2 ** 24);
    expect(count('cache_bytes')).toBeLessThan(2 ** 25);
    for (const socket of sockets) socket.destroy();
    await vi.waitFor(() => expect(done.filter(({ isComplete }) => !isComplete)).toHaveLength(4));
  });

  describe('limits', () => {
    /** A server with these limits, and a connection to it: it resolves with what was said when it is closed. */
    async function limited(limits: Partial<Limits>) {
      const of = await listen({ host: '127.0.0.1', port: 0 }, (_, response) => response.end('x'), {
        ...LIMITS,
        ...limits,
      });
      const opened = (text: string) => {
        let said = '';
        const socket = connect(of.port, '127.0.0.1', () => socket.write(text));
        socket
          .on('error', () => {})
          .on('data', (part) => {
            said += part;
          });
        return { socket, said: new Promise<string>((resolve) => socket.on('close', () => resolve(said))) };
      };
      return { of, opened };
    }

    it('headers have to come in time', async () => {
      const { of, opened } = await limited({ headersMs: 100 });
      const unfinished = ['GET / HTTP/1.1\r\nHost', 'GET / HT', ''];
      for (const said of await Promise.all(unfinished.map((text) => opened(text).said)))
        expect(said).toContain('408 Request Timeout');
      await of.close(0);
    });

    it('connections above the limit are refused', async () => {
      const { of, opened } = await limited({ connections: 2 });
      let refused = 0;
      of.server.on('drop', () => refused++);
      const first = [opened(''), opened('')];
      await Promise.all(first.map(({ socket }) => new Promise((resolve) => socket.on('connect', resolve))));
      expect(await opened('GET / HTTP/1.1\r\nHost: x\r\n\r\n').said).toBe('');
      expect(refused).toBe(1);
      for (const { socket } of first) socket.destroy();
      await of.close(0);
    });

    it('a connection that is kept alive does not keep a server from ending', async () => {
      let finish = () => {};
      const answer = (_: unknown, response: ServerResponse) => {
        response.write('some');
        finish = () => response.end('thing');
      };
      const limits = { ...LIMITS, keepAliveMs: 600_000 };
      const of = await listen({ host: '127.0.0.1', port: 0 }, answer, limits);
      const response = await fetch(`http://127.0.0.1:${of.port}`);
      const closing = of.close(600_000);
      finish();
      expect(await response.text()).toBe('something');
      await closing;
    });

    it('a server that cannot listen says why', async () => {
      await expect(listen({ host: '192.0.2.1', port: 1 }, () => {})).rejects.toThrow('192.0.2.1:1: ');
    });
  });
});

describe('counts', () => {
  it('each request is reported, and Prometheus can read the sums', async () => {
    requests.length = 0;
    await fetch(resolved('config.json'));
    await (await fetch(resolved('none'))).text();
    await vi.waitFor(() => expect(requests).toHaveLength(2));
    expect(requests.map(({ status, sentBytes, isComplete }) => [status, sentBytes, isComplete])).toEqual([
      [200, 21, true],
      [404, 25, true],
    ]);
    expect(requests[0]).toMatchObject({ client: '127.0.0.1', method: 'GET' });
    const text = await (await fetch(url('metrics'))).text();
    for (const line of text.trimEnd().split('\n'))
      expect(line).toMatch(/^(# (HELP|TYPE) weightpress_\w+ .+|weightpress_\w+(\{status="\d{3}"\})? \d+)$/);
    for (const [name, value] of text.matchAll(
      /^weightpress_(?:cache_hits_total|cache_misses_total|models) (\d+)$/gm,
    ))
      expect(Number(value), name).toBeGreaterThan(0);
    expect(text).toMatch(/requests_total\{status="206"\} [1-9]/);
  });
});

describe('closing', () => {
  it('waits for what is being sent, and takes no more', async () => {
    const of = await serve(models, { port: 0, threads: 1 });
    const response = await fetch(url(`${HUB_NAME}/resolve/main/model.safetensors`, of));
    const closing = of.close();
    expect(await digestOfBody(response)).toBe(sha256(weights));
    await closing;
    await expect(fetch(url('healthz', of))).rejects.toThrow();
    await of.close();
  });
});

const digestOfBody = async (response: Response) => sha256(await bytesOf(response));

describe('weightpress serve', () => {
  /** Starts it, and returns what it says, and a way to end it. */
  async function command(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    const child = spawn(process.execPath, ['dist/cli/main.js', 'serve', models, '--port', '0', ...args], {
      env: { ...process.env, ...env },
    });
    const said = { stdout: '', stderr: '' };
    const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
    child.stderr.on('data', (text) => {
      said.stderr += text;
    });
    await new Promise<void>((resolve) => {
      child.stdout.on('data', (text) => {
        said.stdout += text;
        resolve();
      });
      child.on('close', () => resolve());
    });
    return { said, address: /http:\/\/[\d.]+:\d+/.exec(said.stdout)?.[0] ?? '', child, ended };
  }

  it('prints where, logs requests, and ends well when it is asked to', async () => {
    const { said, address, child, ended } = await command(['--threads', '1', '--cache', '32MB']);
    expect(said.stdout).toBe(`serving at ${address}\n  copy\n  sub/llama\n  ${HUB_NAME}\n`);
    expect(await digestOf(`${address}/${HUB_NAME}/resolve/main/model.safetensors`)).toBe(sha256(weights));
    child.kill('SIGTERM');
    expect(await ended).toBe(0);
    expect(said.stderr).toMatch(/^weightpress: .*broken\.wpk.*: not a \.wpk file/);
    expect(said.stderr).toMatch(
      new RegExp(
        `Z 127.0.0.1 GET /${HUB_NAME}/resolve/main/model.safetensors 200 ${weights.length} \\d+\\.\\d{3}\n$`,
      ),
    );
  });

  it('takes the token from the environment, and shows it nowhere', async () => {
    const token = 'a-secret-of-the-environment';
    const { said, child, ended } = await command(
      ['--host', '0.0.0.0', '--json', '--quiet', '--made-cache', '0MB'],
      { WEIGHTPRESS_TOKEN: token },
    );
    const { url: address, models: names } = JSON.parse(said.stdout);
    const there = address.replace('0.0.0.0', '127.0.0.1');
    expect(names).toContain(HUB_NAME);
    expect((await fetch(`${there}/api/models?token=${token}`)).status).toBe(401);
    const headers = { authorization: `Bearer ${token}` };
    expect((await fetch(`${there}/api/models`, { headers })).status).toBe(200);
    expect((await fetch(`${there}/api/models/sub/llama-GGUF`, { headers })).status).toBe(404);
    child.kill('SIGINT');
    expect(await ended).toBe(0);
    expect(said.stderr).not.toContain(token);
    expect(said.stderr.split('\n').filter(Boolean)).toHaveLength(1); // the broken file
  });

  test('what it cannot do is one line', () => {
    const failed = (...args: string[]) => complaint(weightpress('serve', at('sub'), ...args));
    expect(failed('--host', '0.0.0.0')).toMatchObject({
      status: 2,
      lines: 1,
      message: expect.stringContaining('needs a token; --token or WEIGHTPRESS_TOKEN gives one'),
    });
    const taken = new URL(serving.url).port;
    expect(failed('--port', taken)).toMatchObject({
      status: 2,
      lines: 1,
      message: expect.stringContaining(`127.0.0.1:${taken}: the port is in use`),
    });
    expect(failed('--token', 'short').message).toContain('a token of at least 8');
    expect(failed('--cache', '1MB', '--port', '0').message).toContain('expected a cache of at least');
  });
});

describe('Cache', () => {
  const make = (limit: number) => {
    const disposed: string[] = [];
    const cache = new Cache<string>(limit, {
      sizeOf: (text) => text.length,
      dispose: (text) => disposed.push(text),
    });
    const use = async (key: string, value = key) => (await cache.lease(key, async () => value)).release();
    return { cache, disposed, use };
  };

  it('loads once for all who ask at the same time, and again after an error', async () => {
    const { cache } = make(10);
    let loads = 0;
    const load = async () => {
      loads++;
      await sleep(5);
      if (loads === 1) throw new Error('first');
      return 'value';
    };
    const both = await Promise.allSettled([cache.lease('a', load), cache.lease('a', load)]);
    expect(both.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    const [one, two] = await Promise.all([cache.lease('a', load), cache.lease('a', load)]);
    expect([one.value, two.value, loads]).toEqual(['value', 'value', 2]);
    expect([cache.hits, cache.misses]).toEqual([2, 2]);
  });

  it('disposes of what was used longest ago, but not of what is in use', async () => {
    const { cache, disposed, use } = make(10);
    const held = await cache.lease('aaaa', async () => 'aaaa');
    await use('bbbb');
    await use('cccc');
    expect(disposed).toEqual(['bbbb']);
    await use('dddd');
    expect(disposed).toEqual(['bbbb', 'cccc']);
    held.release();
    held.release();
    await use('eeee');
    expect(disposed).toEqual(['bbbb', 'cccc', 'aaaa']);
    expect(cache.size).toBe(8);
    await use('dddd');
    await use('ffff');
    expect(disposed.at(-1)).toBe('eeee');
    await use('g'.repeat(20));
    expect(cache.size).toBe(20);
    const last = await cache.lease('hh', async () => 'hh');
    cache.clear();
    expect(disposed).not.toContain('hh');
    last.release();
    expect(disposed).toContain('hh');
    expect(cache.size).toBe(0);
  });
});

test('Gate: work waits in order while there is no room, and too large work runs alone', async () => {
  const gate = new Gate(10);
  const log: string[] = [];
  const work = (name: string, weight: number) =>
    gate.run(weight, async () => {
      log.push(`${name} starts`);
      await sleep(5);
      log.push(`${name} ends`);
    });
  const all = [work('a', 6), work('b', 99), work('c', 4), work('d', 4)];
  expect(gate.hasRoom(1)).toBe(false);
  await Promise.all(all);
  expect(log).toEqual([
    'a starts',
    'a ends',
    'b starts',
    'b ends',
    'c starts',
    'd starts',
    'c ends',
    'd ends',
  ]);
  expect(gate.hasRoom(10)).toBe(true);
});
