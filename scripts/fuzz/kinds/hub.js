import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { compress, decompress, open } from '../../../dist/index.js';
import { RETRIES, TRANSPORT } from '../../../dist/io/request.js';
import { attempt, Finding, noLeftovers } from '../checks.js';
import { safetensors, text } from '../formats.js';
import { edgeNumber, mutateBytes, mutateJson } from '../mutate.js';

// A Hub that answers what it should but for some answers. It stands where requests leave the process: nothing is asked of a network.

const NAME = 'user/model';
const COMMIT = 'c'.repeat(40);
const ENDPOINT = 'http://hub.invalid';
const STORAGE = 'http://storage.invalid';

const header = {
  'model.norm.weight': { dtype: 'F32', shape: [500], data_offsets: [0, 2000] },
  'lm_head.weight': { dtype: 'U8', shape: [4, 100], data_offsets: [2000, 2400] },
};
const FILES = {
  'config.json': text('{"model_type":"llama","hidden_size":8}'),
  'model.safetensors': safetensors({
    header: text(JSON.stringify(header)),
    data: new Uint8Array(2400).map((_, i) => i * 7),
  }),
  'original/README.md': text('Read me.\n'),
};
const isLarge = (name) => name.endsWith('.safetensors');
const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');
const gitObject = (bytes) => createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex');

const TREE = Object.entries(FILES).map(([path, bytes]) => ({
  type: 'file',
  path,
  size: bytes.length,
  oid: isLarge(path) ? '0'.repeat(40) : gitObject(bytes),
  ...(isLarge(path) && { lfs: { oid: sha256(bytes), size: bytes.length, pointerSize: 134 } }),
}));
const INFO = {
  _id: '0',
  id: NAME,
  sha: COMMIT,
  lastModified: '2026-01-01',
  private: false,
  pipeline_tag: 'text-generation',
};

const PAGES = [
  TREE.slice(0, 2),
  [...TREE.slice(2), { type: 'directory', path: 'original', size: 0, oid: '0'.repeat(40) }],
];

/** What is asked for: `info`, `tree0`, `tree1`, `file`, `storage`. */
function routeOf({ origin, pathname, searchParams }) {
  if (origin === STORAGE) return 'storage';
  if (pathname.includes('/tree/')) return searchParams.get('cursor') === '1' ? 'tree1' : 'tree0';
  return pathname.includes('/resolve/') ? 'file' : 'info';
}

const json = (value) => ({
  status: 200,
  headers: { 'content-type': 'application/json' },
  body: text(JSON.stringify(value)),
});

function ranged(bytes, range) {
  const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(range ?? '') ?? [];
  if (from === undefined)
    return { status: 200, headers: { 'content-length': String(bytes.length) }, body: bytes };
  const end = to ? Math.min(bytes.length, Number(to) + 1) : bytes.length;
  const body = bytes.subarray(Number(from), end);
  return {
    status: 206,
    headers: {
      'content-length': String(body.length),
      'content-range': `bytes ${from}-${end - 1}/${bytes.length}`,
    },
    body,
  };
}

const ANSWERS = {
  info: () => json(INFO),
  tree0: () => ({
    ...json(PAGES[0]),
    headers: { link: `<${ENDPOINT}/api/models/${NAME}/tree/${COMMIT}?recursive=true&cursor=1>; rel="next"` },
  }),
  tree1: () => json(PAGES[1]),
  file: (url, range) => {
    const name = decodeURIComponent(url.pathname.split(`/resolve/${COMMIT}/`)[1] ?? '');
    if (!Object.hasOwn(FILES, name))
      return { status: 404, headers: { 'x-error-code': 'EntryNotFound' }, body: text('') };
    if (!isLarge(name)) return ranged(FILES[name], range);
    return {
      status: 302,
      headers: { location: `${STORAGE}/${name}?signature=x`, 'x-linked-size': String(FILES[name].length) },
      body: text(''),
    };
  },
  storage: (url, range) => ranged(FILES[url.pathname.slice(1)] ?? text(''), range),
};

const HEADERS = [
  'content-range',
  'content-length',
  'content-encoding',
  'location',
  'link',
  'etag',
  'x-error-code',
  'retry-after',
  'x-linked-size',
  'content-type',
  'x-repo-commit',
];
const HEADER_VALUES = [
  '',
  '0',
  '-1',
  'x',
  '999999999999',
  'bytes 0-1/2',
  'bytes 0-2399/99999999999999999999',
  'gzip',
  'identity',
  'file:///etc/passwd',
  '/loop',
  `${STORAGE}/model.safetensors`,
  '//[',
  `<${ENDPOINT}/api/models/${NAME}/tree/${COMMIT}?cursor=0>; rel="next"`,
  '<x>; rel="next"',
  'GatedRepo',
  'RepoNotFound',
  'Thu, 01 Jan 1970 00:00:00 GMT',
  'text/html',
];
const STATUSES = [
  200, 201, 204, 206, 301, 302, 304, 307, 400, 401, 403, 404, 408, 410, 416, 418, 429, 451, 500, 502, 503,
];

/** A change to the answers on a route: to all, or to the first so many. */
function change(random) {
  const route = random.pick(['info', 'tree0', 'tree1', 'file', 'storage', 'storage']);
  const patch = { route, times: random.pick([1, 1, 2, 1000]) };
  const kinds = [
    () => (patch.status = random.pick(STATUSES)),
    () => (patch.header = [random.pick(HEADERS), random.pick(HEADER_VALUES)]),
    () =>
      (patch.header = [
        random.pick(HEADERS),
        `bytes ${edgeNumber(random)}-${edgeNumber(random)}/${edgeNumber(random)}`,
      ]),
    () => (patch.dropped = random.pick(HEADERS)),
    () => (patch.cut = random.below(300)),
    () => (patch.broken = random.below(300)),
    () =>
      (patch.refused = random.pick([
        'ECONNREFUSED',
        'ENOTFOUND',
        'ECONNRESET',
        'UND_ERR_SOCKET',
        'CERT_HAS_EXPIRED',
      ])),
    () => (patch.more = random.pick([1, 100, 70000])),
    () => (patch.bytes = random.below(2 ** 31)),
    () => (patch.json = random.below(2 ** 31)),
    () => (patch.json = random.below(2 ** 31)),
    () => (patch.json = random.below(2 ** 31)),
  ];
  random.pick(kinds)();
  if (patch.json !== undefined) {
    patch.route = random.pick(['info', 'tree0', 'tree1']);
    const value = patch.route === 'info' ? INFO : PAGES[Number(patch.route.at(-1))];
    let changed = structuredClone(value);
    for (let n = random.few(3); n; n--) changed = mutateJson(random, changed);
    patch.json = JSON.stringify(changed) ?? '';
  }
  if (patch.bytes !== undefined) {
    const body =
      { info: text(JSON.stringify(INFO)), storage: FILES['model.safetensors'] }[route] ??
      text(JSON.stringify(PAGES[0]));
    patch.bytes = Buffer.from(mutateBytes(random, body)).toString('base64');
  }
  return patch;
}

function respond(patches, url, init) {
  const route = routeOf(url);
  const answer = ANSWERS[route](url, new Headers(init.headers).get('range'));
  let { status, body } = answer;
  let brokenAt;
  const headers = { ...answer.headers };
  for (const patch of patches) {
    if (patch.route !== route || patch.used >= patch.times) continue;
    patch.used = (patch.used ?? 0) + 1;
    if (patch.refused) throw Object.assign(new TypeError('fetch failed'), { cause: { code: patch.refused } });
    status = patch.status ?? status;
    if (patch.header) headers[patch.header[0]] = patch.header[1];
    delete headers[patch.dropped];
    if (patch.cut !== undefined) body = body.subarray(0, patch.cut);
    if (patch.more) body = Buffer.concat([body, Buffer.alloc(patch.more, 32)]);
    if (patch.json !== undefined) body = text(patch.json);
    if (patch.bytes !== undefined) body = Uint8Array.from(Buffer.from(patch.bytes, 'base64'));
    brokenAt = patch.broken ?? brokenAt;
  }
  const hasBody = ![204, 304].includes(status);
  return new Response(hasBody ? streamOf(body, brokenAt) : null, { status, headers });
}

function streamOf(body, brokenAt) {
  return new ReadableStream({
    start(controller) {
      const whole = brokenAt === undefined || brokenAt >= body.length;
      const sent = whole ? body : body.subarray(0, brokenAt);
      if (sent.length) controller.enqueue(Uint8Array.from(sent));
      if (whole) controller.close();
    },
    pull(controller) {
      controller.error(new TypeError('terminated'));
    },
  });
}

/** What the answers list, whose content must then be what was listed. */
const digests = (directory, prefix = '') =>
  readdirSync(join(directory, prefix), { withFileTypes: true }).flatMap((entry) => {
    const name = `${prefix}${entry.name}`;
    if (entry.isDirectory()) return digests(directory, `${name}/`);
    const bytes = readFileSync(join(directory, name));
    return [sha256(bytes), gitObject(bytes)];
  });

async function check(files, place) {
  const { reading, patches } = JSON.parse(Buffer.from(files['answers.json']).toString());
  const cache = join(place, 'cache');
  rmSync(cache, { recursive: true, force: true });
  rmSync(join(place, 'x.wpk'), { force: true });
  mkdirSync(cache);
  Object.assign(process.env, { HF_ENDPOINT: ENDPOINT, HF_HUB_CACHE: cache, HF_TOKEN: 'hf_secret' });
  RETRIES.firstWaitMs = 0;
  TRANSPORT.fetch = async (url, init) => {
    if (url.origin !== ENDPOINT && new Headers(init.headers).has('authorization'))
      throw new Finding('the token goes to another host');
    return respond(patches, url, init);
  };
  const { value: model } = await attempt(() => open(NAME, { reading }));
  if (model) {
    for (const { name, lengthBytes } of model.tensors)
      await attempt(() => model.readTensor(name, 0, Math.min(lengthBytes, 2 ** 20)));
    await model.close();
  }
  for (const patch of patches) delete patch.used;
  const packed = join(place, 'x.wpk');
  const { refused } = await attempt(() =>
    compress(NAME, packed, { threads: 0, keep: reading === 'download' }),
  );
  noLeftovers(place, [
    'cache',
    'out',
    ...(refused === undefined || existsSync(packed) ? ['x.wpk'] : left(place)),
  ]);
  if (refused !== undefined) return;
  await decompress(packed, join(place, 'out'), { threads: 0, force: true });
  const listed = JSON.stringify([PAGES, patches]);
  const found = digests(join(place, 'out'));
  for (let i = 0; i < found.length; i += 2)
    if (!listed.includes(found[i]) && !listed.includes(found[i + 1]))
      throw new Finding('a file of other content than the Hub lists was taken');
}

/** What a broken connection leaves to be gone on with. */
function left(place) {
  const partial = readdirSync(place).filter((name) => name.endsWith('.partial'));
  for (const name of partial) rmSync(join(place, name));
  return partial;
}

export const hubKind = {
  make: (random) => {
    const reading = random.pick(['ranges', 'sequential', 'download']);
    const patches = Array.from({ length: random.few(3) }, () => change(random));
    return { 'answers.json': text(JSON.stringify({ reading, patches })) };
  },
  check,
};
