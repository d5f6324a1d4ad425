import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { parseAddress } from '../src/hub/address.js';
import { nameOnHub } from '../src/hub/bare-names.js';
import { HubFolder } from '../src/hub/folder.js';
import { compress, open } from '../src/index.js';
import { TIMEOUTS } from '../src/io/body.js';
import { HttpSource, openAddress } from '../src/io/http.js';
import { RETRIES } from '../src/io/request.js';
import { complaint, weightpressWith } from './helpers/cli.js';
import { type Fault, HubServer } from './helpers/hub-server.js';
import { safetensors } from './helpers/safetensors.js';

const TOKEN = 'hf_NobodyElseKnowsThis';
const NAME = 'someone/small-model';
const place = mkdtempSync(join(tmpdir(), 'weightpress-network-'));
const usual = { deadlines: { ...TIMEOUTS }, patience: { ...RETRIES } };
let hub: HubServer;

const tensors = Array.from({ length: 56 }, (_, i) => ({
  name: `layer.${i}.weight`,
  dtype: 'F32',
  shape: [i % 5 ? 96 : 4, 100],
  data: new Uint8Array(
    Float32Array.from({ length: (i % 5 ? 96 : 4) * 100 }, (_, j) => Math.sin(j * (i + 1)) / 50).buffer,
  ),
}));
const model = {
  'model.safetensors': safetensors(tensors),
  'config.json': '{"model_type":"test"}',
  'tokenizer_config.json': '{}',
};
const bytesOfModel = model['model.safetensors'].length;

beforeAll(async () => {
  hub = await HubServer.start();
});
afterAll(async () => {
  await hub.stop();
  rmSync(place, { recursive: true });
});
beforeEach(() => {
  hub.repositories.clear();
  hub.add(NAME, model);
  hub.reset();
  RETRIES.firstWaitMs = 1;
  const env = { HF_ENDPOINT: hub.endpoint, HF_HOME: join(place, 'home'), HF_TOKEN: TOKEN };
  Object.assign(process.env, env);
});
afterEach(() => {
  Object.assign(TIMEOUTS, usual.deadlines);
  Object.assign(RETRIES, usual.patience);
  rmSync(join(place, 'home'), { recursive: true, force: true });
});

/** The message of a refusal, which is an InputError of one line. */
async function refusal(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => undefined,
    (error) => error,
  );
  expect(error?.name).toMatch(/^(Input|Connection|Integrity)Error$/);
  expect(error.message).not.toContain('\n');
  return error.message;
}

/** Reads all tensors, in the order of the file. */
async function readAll(name: string) {
  const opened = await open(name, { reading: 'sequential' });
  try {
    for (const { name: tensor } of opened.tensors) await opened.readTensor(tensor);
  } finally {
    await opened.close();
  }
}

const isApi = ({ url }: { url: string }) => url.startsWith('/api/');
const isStored = ({ url }: { url: string }) => url.includes('signature=secret');

describe('a body', () => {
  /** Sends without end, as long as somebody takes it. @returns bytes that were sent */
  function endless(response: ServerResponse, chunk: Buffer) {
    const sent = { bytes: 0 };
    const more = () => {
      while (!response.destroyed) {
        sent.bytes += chunk.length;
        if (!response.write(chunk)) return void response.once('drain', more);
      }
    };
    more();
    return sent;
  }

  test('of JSON without an end is refused at its limit', async () => {
    let sent = { bytes: 0 };
    hub.fault = (asked, response) => {
      if (!isApi(asked)) return false;
      response.writeHead(200, { 'content-type': 'application/json' });
      sent = endless(response, Buffer.alloc(2 ** 16, ' '));
      return true;
    };
    expect(await refusal(open(NAME))).toMatch(/over the limit of 16777216 bytes/);
    expect(sent.bytes).toBeLessThan(2 ** 26);
  });

  test('of JSON that is small until it is unpacked is too', async () => {
    const bomb = gzipSync(Buffer.alloc(2 ** 28, ' '));
    expect(bomb.length).toBeLessThan(300_000);
    hub.fault = (asked, response) => {
      if (!isApi(asked)) return false;
      response.writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' });
      response.end(bomb);
      return true;
    };
    expect(await refusal(open(NAME))).toMatch(/over the limit of 16777216 bytes/);
  });

  test('of a range that does not end is refused where the range does', async () => {
    hub.fault = (asked, response) => {
      if (!isStored(asked)) return false;
      const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(asked.range!)!;
      response.writeHead(206, { 'content-range': `bytes ${from}-${to}/${bytesOfModel}` });
      endless(response, Buffer.alloc(2 ** 14));
      return true;
    };
    expect(await refusal(open(NAME))).toMatch(/sent more bytes than requested/);
  });

  test('of a range that is compressed on the way is refused', async () => {
    hub.fault = (asked, response) => {
      if (!isStored(asked)) return false;
      const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(asked.range!)!;
      response.writeHead(206, {
        'content-range': `bytes ${from}-${to}/${bytesOfModel}`,
        'content-encoding': 'gzip',
      });
      response.end(gzipSync(Buffer.alloc(2 ** 20)));
      return true;
    };
    expect(await refusal(open(NAME))).toMatch(/compresses the response/);
  });

  test.each<[string, (response: ServerResponse) => void, RegExp]>([
    [
      'longer than its range',
      (response) => {
        response.writeHead(206, { 'content-range': 'bytes 0-32767/1000000' });
        endless(response, Buffer.alloc(2 ** 14));
      },
      /over the limit of 32768 bytes/,
    ],
    [
      'of more than was asked for',
      (response) => {
        response.writeHead(206, { 'content-range': 'bytes 0-9999999999/10000000000' });
        endless(response, Buffer.alloc(2 ** 14));
      },
      /over the limit of 32768 bytes/,
    ],
    [
      'compressed on the way',
      (response) => {
        response.writeHead(206, {
          'content-range': 'bytes 0-32767/1000000',
          'content-encoding': 'gzip',
        });
        response.end(gzipSync(Buffer.alloc(2 ** 15)));
      },
      /compresses the response/,
    ],
  ])('at an address that is %s is refused', async (_, answer, expected) => {
    hub.fault = (__, response) => {
      answer(response);
      return true;
    };
    expect(await refusal(openAddress(`${hub.endpoint}/file.wpk`))).toMatch(expected);
  });

  test('that breaks off within an answer of the Hub is asked for again', async () => {
    let broken = 0;
    hub.fault = (asked, response) => {
      if (!isApi(asked) || broken++ > 2) return false;
      response.writeHead(200, { 'content-length': 500 });
      response.write('{"sha"', () => response.destroy());
      return true;
    };
    await readAll(NAME);
    expect(broken).toBeGreaterThan(3);
  });
});

test.each([
  ['empty pages', '[]'],
  ['the same page', JSON.stringify([{ type: 'file', path: 'a', size: 1, oid: '0'.repeat(40) }])],
])('a list of files that is %s without end is given up', async (_, page) => {
  let pages = 0;
  hub.fault = ({ url }, response) => {
    if (!url.includes('/tree/')) return false;
    response.setHeader(
      'link',
      `<${hub.endpoint}/api/models/${NAME}/tree/main?cursor=${++pages}>; rel="next"`,
    );
    response.end(page);
    return true;
  };
  expect(await refusal(open(NAME))).toMatch(/list has over 1000 pages/);
  expect(pages).toBeLessThan(1001);
});

describe('a silent or slow server', { tags: 'slow' }, () => {
  beforeEach(() => Object.assign(TIMEOUTS, { headersMs: 300, windowMs: 300, minBytes: 1000 }));

  test('with its answer is given up after some tries', async () => {
    let asked = 0;
    hub.fault = (what) => isApi(what) && ++asked > 0;
    expect(await refusal(open(NAME))).toMatch(/cannot be reached/);
    expect(asked).toBe(RETRIES.attempts);
  });

  /** Sends a byte now and then, for ever. */
  const trickle = (response: ServerResponse) => {
    response.write('[');
    const timer = setInterval(() => response.write(' '), 4);
    response.on('close', () => clearInterval(timer));
  };

  test.each<[string, (response: ServerResponse) => void]>([
    ['stops', (response) => response.write('[')],
    ['goes on a byte at a time', trickle],
  ])('that %s in the middle of an answer is given up after some tries', async (_, send) => {
    let asked = 0;
    hub.fault = (what, response) => {
      if (!isApi(what)) return false;
      asked++;
      response.writeHead(200);
      send(response);
      return true;
    };
    expect(await refusal(open(NAME))).toMatch(/the connection broke 6 times in a row/);
    expect(asked).toBe(RETRIES.attempts);
  });

  test.each<[string, (response: ServerResponse) => void]>([
    ['stops', (response) => response.write('x')],
    ['goes on a byte at a time', trickle],
  ])('that %s in the middle of a file is given up after some tries', async (_, send) => {
    let asked = 0;
    hub.fault = (what, response) => {
      const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(what.range ?? '') ?? [];
      if (!isStored(what) || Number(to) < 40_000) return false;
      asked++;
      response.writeHead(206, { 'content-range': `bytes ${from}-${to}/${bytesOfModel}` });
      send(response);
      return true;
    };
    expect(await refusal(readAll(NAME))).toMatch(/the connection broke 6 times in a row/);
    expect(asked).toBeGreaterThanOrEqual(RETRIES.attempts);
  });

  test('is not one that waits for who reads', async () => {
    const file = await openAddress(`${hub.endpoint}/${NAME}/resolve/main/config.json`, undefined, 1);
    const source = new HttpSource(file);
    await new Promise((resolve) => setTimeout(resolve, 700));
    expect(new TextDecoder().decode(await source.read(1, source.byteLength))).toBe('"model_type":"test"}');
  });
});

describe('the token', () => {
  const echoes: [string, Fault][] = [
    ['a status', (_, r) => !!r.writeHead(418, `no ${TOKEN}`).end()],
    ['a code', (_, r) => !!r.writeHead(404, { 'x-error-code': TOKEN }).end()],
    [
      'an error in JSON',
      (_, r) => !!r.writeHead(400, { 'content-type': 'application/json' }).end(`{"error":"${TOKEN}"}`),
    ],
    ['an answer that is no JSON', (_, r) => !!r.writeHead(200).end(TOKEN)],
    [
      'a redirect',
      (_, r) => !!r.writeHead(302, { location: `${TOKEN.replace('_', '')}://x/${TOKEN}` }).end(),
    ],
    [
      'a name',
      (asked, r) =>
        asked.url.includes('/tree/') &&
        !!r.end(JSON.stringify([{ type: 'file', path: `${TOKEN}.txt`, size: -1, oid: TOKEN }])),
    ],
    [
      'a range',
      (asked, r) => isStored(asked) && !!r.writeHead(206, { 'content-range': `bytes ${TOKEN}` }).end('x'),
    ],
  ];
  test.each(echoes)('echoed in %s is not shown', async (_, fault) => {
    hub.fault = fault;
    expect((await refusal(open(NAME))).toLowerCase()).not.toContain(TOKEN.toLowerCase());
    const said = complaint(await weightpressWith({}, 'analyze', NAME));
    expect(said).toMatchObject({ status: 2, lines: 1, stack: false });
    expect(`${said.message}${said.stdout}`.toLowerCase()).not.toContain(TOKEN.toLowerCase());
  });

  test('that a config repeats is not printed either', async () => {
    hub.add(NAME, { ...model, 'config.json': `{"model_type":"${TOKEN}"}` });
    for (const flags of [[], ['--json']]) {
      const { stdout, status } = await weightpressWith({}, 'analyze', NAME, ...flags);
      expect(status).toBe(0);
      expect(stdout).toContain('[token]');
      expect(stdout).not.toContain(TOKEN);
    }
  });

  test.each(['small/mistyped.wpk', 'test/mistyped.safetensors', 'test/fixtures/mistyped.gguf', 'a/b.bin'])(
    'is not sent to ask for %s, which is the name of a file',
    async (name) => {
      expect(await refusal(open(name))).toMatch(/no such file/);
      expect(hub.asked).toEqual([]);
    },
  );
});

test.each([
  ['user/name', ['user/name', 'main', undefined]],
  ['user/name@v1', ['user/name', 'v1', undefined]],
  ['user/name.gguf@main', ['user/name.gguf', 'main', undefined]],
  ['user/name/file.wpk', ['user/name', 'main', 'file.wpk']],
  ['user/name/a/b/file.safetensors@v1', ['user/name', 'v1', 'a/b/file.safetensors']],
  ['user/file.wpk', undefined],
  ['user/name/../file.wpk', undefined],
  ['user/name/a/b', undefined],
])('%s is read as an address', (text, expected) => {
  const address = parseAddress(text) as unknown as Record<string, string> | undefined;
  expect(address && [address.repository, address.revision, address.file]).toEqual(expected);
});

test.each([
  ['gpt2', 'openai-community/gpt2'],
  ['distilgpt2', 'distilbert/distilgpt2'],
  ['bert-base-uncased', 'google-bert/bert-base-uncased'],
  ['xlm-roberta-base', 'FacebookAI/xlm-roberta-base'],
  ['t5-small', 'google-t5/t5-small'],
])('%s is a name without an owner: it is said whose it is now', async (name, meant) => {
  expect(nameOnHub(name)).toBe(meant);
  expect(await refusal(open(name))).toBe(
    `${name}: no such file or folder; did you mean ${meant} on the Hub?`,
  );
  expect(hub.asked).toEqual([]);
});

test('files in folders of a repository are listed and read by their paths', async () => {
  const files = {
    ...model,
    'onnx/model.onnx': 'onnx',
    '2_Dense/model.safetensors': model['model.safetensors'],
    'a folder/#1?.txt': 'odd',
  };
  hub.add(NAME, files);
  const folder = await HubFolder.open(parseAddress(NAME) as never);
  expect((await folder.list()).map(({ name }) => name).sort()).toEqual(Object.keys(files).sort());
  const source = await folder.open('a folder/#1?.txt');
  expect(new TextDecoder().decode(await source.read(0, source.byteLength))).toBe('odd');
  const opened = await open(`${NAME}/2_Dense/model.safetensors`);
  expect(opened.tensors).toHaveLength(tensors.length);
  await opened.close();
});

test.each(['../up.txt', 'a/../../up.txt', '/etc/passwd', 'a//b', 'a\\b', 'a/\u0000'])(
  'a path that leads elsewhere is refused by name, and never opened: %j',
  async (path) => {
    hub.add(NAME, { ...model, [path]: 'x' });
    const folder = await HubFolder.open(parseAddress(NAME) as never);
    await expect(folder.open(path)).rejects.toThrow(/: its name /);
    await expect(compress(NAME, join(place, 'out.wpk'))).rejects.toMatchObject({
      message: expect.stringMatching(/its name /),
      code: 'unsupported-file',
    });
    const opened = await open(NAME);
    expect(opened.tensors).toHaveLength(tensors.length);
    await opened.close();
  },
);

test('reading a model of 56 tensors from front to back takes a handful of requests', async () => {
  await readAll(NAME);
  const listing = hub.asked.filter(isApi).length;
  expect(hub.asked.length - listing).toBeLessThanOrEqual(5);
  expect(hub.sentBytes).toBeLessThan(bytesOfModel + 2 ** 17);
});

test('compressing a model of 56 tensors takes tens of requests: a sample of each that may be stored twice, then one stream', async () => {
  await compress(NAME, join(place, 'streamed.wpk'), { force: true });
  const listing = hub.asked.filter(isApi).length;
  const alike = tensors.filter(({ data }) => data.length >= 4096).length;
  expect(hub.asked.length - listing).toBeLessThanOrEqual(alike + 10);
  expect(hub.sentBytes).toBeLessThan(bytesOfModel * 1.02 + alike * 4096 + 2 ** 17);
});

describe('an unreachable Hub', () => {
  const nowhere = 'http://127.0.0.1:9'; // nothing listens on the discard port
  const commit = 'c'.repeat(40);

  function fill(files: Readonly<Record<string, Uint8Array | string>>) {
    const folder = join(place, 'home', 'hub', 'models--someone--small-model');
    for (const part of ['blobs', 'refs', join('snapshots', commit)])
      mkdirSync(join(folder, part), { recursive: true });
    writeFileSync(join(folder, 'refs', 'main'), commit);
    for (const [name, content] of Object.entries(files)) {
      writeFileSync(join(folder, 'blobs', `blob-of-${name}`), content);
      symlinkSync(`../../blobs/blob-of-${name}`, join(folder, 'snapshots', commit, name));
    }
  }

  test('what is whole in the cache is read there, and that is said', { tags: 'slow' }, async () => {
    fill(model);
    const said = await weightpressWith({ HF_ENDPOINT: nowhere }, 'analyze', NAME, '--weights', '--json');
    expect(said.status).toBe(0);
    expect(JSON.parse(said.stdout).model).toBe(`${NAME}@${commit}`);
    expect(said.stderr).toMatch(
      /^weightpress: the Hub cannot be reached: reading the cached files of someone\/small-model@c+/,
    );
    expect(said.stderr.trim().split('\n')).toHaveLength(1);
  });

  test('what is not there is not made of what is', async () => {
    fill({ 'config.json': '{}' });
    process.env.HF_ENDPOINT = nowhere;
    expect(await refusal(open(NAME))).toMatch(/the Hub: cannot be reached/);
  });

  test('what the Hub refuses is not taken from the cache instead', async () => {
    fill(model);
    hub.repositories.clear();
    expect(await refusal(open(NAME))).toMatch(/no such local file, and no model/);
  });
});

describe('a proxy', () => {
  const passed: string[] = [];
  /** Forwards requests with whole addresses, and tunnels. */
  const proxy = createServer((incoming: IncomingMessage, outgoing: ServerResponse) => {
    passed.push(`${incoming.method} ${incoming.url}`);
    const { method, headers } = incoming;
    const forwarded = request(incoming.url!, { method: method!, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode!, answer.headers);
      answer.pipe(outgoing);
    });
    incoming.pipe(forwarded);
  });
  proxy.on('connect', (asked, client, head) => {
    passed.push(`CONNECT ${asked.url}`);
    const { hostname, port } = new URL(`http://${asked.url}`);
    const server = connect(Number(port), hostname, () => {
      client.write('HTTP/1.1 200 Connection Established\r\n\r\n');
      server.write(head);
      server.pipe(client).pipe(server);
    });
    for (const end of [client, server]) end.on('error', () => {});
  });
  let address = '';

  beforeAll(async () => {
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    address = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  });
  afterAll(() => {
    proxy.closeAllConnections();
    proxy.close();
  });
  beforeEach(() => void passed.splice(0));

  const analyze = (env: Record<string, string>) => weightpressWith(env, 'analyze', NAME);

  test.each(['HTTP_PROXY', 'http_proxy'])('named by %s is asked for everything', async (variable) => {
    expect(await analyze({ [variable]: address })).toMatchObject({ status: 0, stderr: '' });
    const hosts = new Set(passed.map((line) => new URL(line.replace(/^\w+ (http:\/\/)?/, 'http://')).host));
    expect(hosts.size).toBe(2); // the Hub and its storage
    expect(hosts).toContain(new URL(hub.endpoint).host);
  });

  test.each(['HTTPS_PROXY', 'https_proxy'])(
    'named by %s is asked for https',
    { tags: 'slow' },
    async (variable) => {
      const secure = { HF_ENDPOINT: hub.endpoint.replace('http:', 'https:'), [variable]: address };
      expect(complaint(await analyze(secure))).toMatchObject({ status: 2, lines: 1 }); // the server speaks no TLS
      expect(passed).toContain(`CONNECT ${new URL(hub.endpoint).host}`);
    },
  );

  test.each(['NO_PROXY', 'no_proxy'])('is not asked for the hosts of %s', async (variable) => {
    const env = { HTTP_PROXY: address, [variable]: 'example.org,127.0.0.1' };
    expect(await analyze(env)).toMatchObject({ status: 0, stderr: '' });
    expect(passed).toEqual([]);
  });

  test('that is no address is refused, and not shown: it may hold a password', async () => {
    const said = complaint(await analyze({ HTTP_PROXY: 'ftp://me:password@nowhere' }));
    expect(said).toMatchObject({ status: 2, lines: 1, stack: false });
    expect(said.message).toMatch(/HTTP_PROXY is not an http address/);
    expect(said.message).not.toContain('password');
  });

  test('that is not there is said to be what cannot be reached', { tags: 'slow' }, async () => {
    const said = complaint(await analyze({ HTTP_PROXY: 'http://me:password@127.0.0.1:9' }));
    expect(said).toMatchObject({ status: 2, lines: 1, stack: false });
    expect(said.message).toMatch(/cannot be reached/);
    expect(said.message).not.toContain('password');
  });
});
