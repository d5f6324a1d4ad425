import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { compress, inspect, open, type Progress, planPush, push } from '../src/index.js';
import { RETRIES } from '../src/io/request.js';
import { planTensor } from '../src/wpk/plan.js';
import { complaint, weightpressWith } from './helpers/cli.js';
import { type Content, type Fault, HubServer, sha256 } from './helpers/hub-server.js';
import { abandon, leaveBehind, leftovers } from './helpers/leftovers.js';
import { needs } from './helpers/needs.js';
import { PYTHON, python } from './helpers/python.js';
import { safetensors, seededRandom } from './helpers/safetensors.js';

const TOKEN = 'hf_a-secret-that-is-nowhere-else';
const NAME = 'someone/small-model';
const TINY = 'examples/gpt-neo-tiny';
const place = mkdtempSync(join(tmpdir(), 'weightpress-hub-'));
const home = join(place, 'home');
const output = join(place, 'model.wpk');

let hub: HubServer;
let model: Record<string, Uint8Array | string>;
let bytesOfModel = 0;

beforeAll(async () => {
  RETRIES.firstWaitMs = 2;
  hub = await HubServer.start();
  const random = seededRandom(1);
  const tensors = Array.from({ length: 6 }, (_, i) => ({
    name: `layer.${i}.weight`,
    dtype: 'F32',
    shape: [512, 1024 + 16 * i],
    data: new Uint8Array(
      Float32Array.from({ length: 512 * (1024 + 16 * i) }, () => (random() + random() - 1) / 50).buffer,
    ),
  }));
  model = {
    'model.safetensors': safetensors(tensors),
    'config.json': '{"model_type":"test"}',
    'README.md': '---\nlicense: mit\n---\n# Small',
    'tokenizer.json': '{"not": "one"}',
  };
  bytesOfModel = model['model.safetensors']!.length;
});
afterAll(async () => {
  await hub.stop();
  rmSync(place, { recursive: true });
});

beforeEach(() => {
  for (const path of [home, output, ...leftovers(output)]) rmSync(path, { recursive: true, force: true });
  hub.repositories.clear();
  hub.add(NAME, model);
  hub.reset();
  Object.assign(process.env, { HF_ENDPOINT: hub.endpoint, HF_HOME: home, HF_TOKEN: TOKEN });
});

const run = (...args: string[]) => weightpressWith({}, ...args);

/** Every file below a folder. */
function filesBelow(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map(({ parentPath, name }) => join(parentPath, name));
}

/** Restores a .wpk and compares it with what is on the server. */
async function expectRestored(file: string) {
  const restored = join(place, 'restored');
  rmSync(restored, { recursive: true, force: true });
  expect(await run('decompress', file, '-o', restored)).toMatchObject({ status: 0, stderr: '' });
  expect(readdirSync(restored).sort()).toEqual(Object.keys(model).sort());
  for (const [name, content] of Object.entries(model))
    expect(readFileSync(join(restored, name)).equals(Buffer.from(content as Uint8Array)), name).toBe(true);
}

describe('compress, straight from the Hub', () => {
  test('keeps nothing on disk but the output, fetches the weights once, and restores every byte', async () => {
    expect(await run('compress', `${NAME}@main`, '-o', output)).toMatchObject({ status: 0, stderr: '' });
    expect(filesBelow(home)).toEqual([]);
    expect(hub.sentBytes).toBeLessThan(bytesOfModel * 1.02);
    await expectRestored(output);
    const { source } = await inspect(output);
    expect(source).toBe(`${NAME}@${hub.repositories.get(NAME)!.commit}`);
  });

  test('with --keep leaves what Python would, and does not fetch it again', { tags: 'slow' }, async () => {
    expect(await run('compress', NAME, '-o', output, '--keep')).toMatchObject({ status: 0, stderr: '' });
    const folder = join(home, 'hub', 'models--someone--small-model');
    const { commit } = hub.repositories.get(NAME)!;
    expect(readFileSync(join(folder, 'refs', 'main'), 'utf8')).toBe(commit);
    const weights = join(folder, 'snapshots', commit, 'model.safetensors');
    expect(readlinkSync(weights)).toBe(`../../blobs/${sha256(model['model.safetensors'] as Uint8Array)}`);
    expect(readFileSync(weights).equals(model['model.safetensors'] as Uint8Array)).toBe(true);
    hub.reset();
    expect(await run('compress', NAME, '-o', output, '--force')).toMatchObject({ status: 0 });
    expect(hub.sentBytes).toBe(0);
    await expectRestored(output);
  });

  test('takes what Python has downloaded, also offline', { tags: 'slow' }, async () => {
    const { commit } = hub.repositories.get(NAME)!;
    const folder = join(home, 'hub', 'models--someone--small-model');
    for (const part of ['blobs', 'refs', join('snapshots', commit)])
      mkdirSync(join(folder, part), { recursive: true });
    writeFileSync(join(folder, 'refs', 'main'), commit);
    for (const [name, content] of Object.entries(model)) {
      writeFileSync(join(folder, 'blobs', `blob-of-${name}`), content);
      symlinkSync(`../../blobs/blob-of-${name}`, join(folder, 'snapshots', commit, name));
    }
    expect(await run('compress', NAME, '-o', output)).toMatchObject({ status: 0 });
    expect(hub.sentBytes).toBe(0);
    hub.reset();
    const offline = await weightpressWith({ HF_HUB_OFFLINE: '1' }, 'compress', NAME, '-o', output, '--force');
    expect(offline).toMatchObject({ status: 0 });
    expect(hub.asked).toEqual([]);
    await expectRestored(output);
  });

  test('an interrupted run goes on with --resume', async () => {
    const opened = await open(NAME, { reading: 'sequential' });
    await compress(opened, output);
    await opened.close();
    const whole = readFileSync(output);
    rmSync(output);
    leaveBehind(output, whole.subarray(0, whole.length >> 1));
    const resumed = await run('compress', NAME, '-o', output, '--resume');
    expect(resumed).toMatchObject({ status: 0, stderr: '' });
    expect(readFileSync(output).equals(whole)).toBe(true);
  });
});

test('a checkpoint of PyTorch is streamed too, and held against its digest', {
  tags: 'slow',
  ...needs(PYTHON, 'Python with PyTorch'),
}, async () => {
  python(
    place,
    `
w = {f'h.{i}.weight': torch.randn(300, 400 + i) for i in range(8)}
w['view'] = w['h.3.weight'].t()[5:300]
torch.save(w, 'pytorch_model.bin')`,
  );
  const bin = readFileSync(join(place, 'pytorch_model.bin'));
  hub.add('someone/older', { 'pytorch_model.bin': bin, 'config.json': '{}' });
  expect(await run('compress', 'someone/older', '-o', output)).toMatchObject({ status: 0, stderr: '' });
  expect(hub.sentBytes).toBeLessThan(bin.length * 1.2); // the view is read twice: 13 %
  expect(filesBelow(home)).toEqual([]);
  expect(await run('verify', output, '--against', 'someone/older')).toMatchObject({ status: 0 });
  const changed = Buffer.from(bin);
  changed[1_000_000]! ^= 1;
  hub.add('someone/older', { 'pytorch_model.bin': changed, 'config.json': '{}' });
  hub.repositories.get('someone/older')!.files.get('pytorch_model.bin')!.oid = sha256(bin);
  rmSync(home, { recursive: true });
  const said = complaint(await run('compress', 'someone/older', '-o', output, '--force'));
  expect(said).toMatchObject({ status: 2, lines: 1 });
  expect(said.message).toMatch(/changed or damaged/);
});

/** Cuts the first `times` answers with more than a handful of bytes at random places. */
function cutting(times: number, seed: number): Fault {
  const random = seededRandom(seed);
  let left = times;
  return ({ url, range }) => {
    const isWeights = url.includes('signature=secret') && range !== undefined && left > 0;
    if (!isWeights) return false;
    left--;
    return { cutAfter: Math.floor(random() * 600_000) };
  };
}

describe('a connection that breaks', () => {
  test.each([[[]], [['--keep']]])(
    '20 times at random is taken up again: %j',
    { tags: 'slow' },
    async (flags) => {
      hub.fault = cutting(20, 7);
      expect(await run('compress', NAME, '-o', output, ...flags)).toMatchObject({ status: 0, stderr: '' });
      expect(hub.sentBytes).toBeLessThan(bytesOfModel * 1.05);
      await expectRestored(output);
    },
  );

  test('for good leaves what was compressed, and --resume goes on there', { tags: 'slow' }, async () => {
    const opened = await open(NAME, { reading: 'sequential' });
    await compress(opened, output);
    await opened.close();
    const whole = readFileSync(output);
    rmSync(output);
    let sent = 0;
    hub.fault = ({ url, range }, response) => {
      const [, from] = /^bytes=(\d+)-/.exec(range ?? '') ?? [];
      if (!url.includes('signature')) return false;
      if (Number(from) < 2_000_000) return { cutAfter: 3_000_000 };
      sent++;
      response.destroy();
      return true;
    };
    const stopped = open(NAME, { reading: 'sequential' }).then((model) =>
      compress(model, output).finally(() => model.close()),
    );
    await expect(stopped).rejects.toMatchObject({ name: 'ConnectionError', code: 'resumable' });
    expect(sent).toBe(RETRIES.attempts);
    const [left] = leftovers(output);
    expect(statSync(left!).size).toBeGreaterThan(100);
    abandon(left!);
    hub.reset();
    expect(await run('compress', NAME, '-o', output, '--resume')).toMatchObject({ status: 0, stderr: '' });
    expect(readFileSync(output).equals(whole)).toBe(true);
  });

  test('for good leaves what came of a download, and the next run goes on there', {
    tags: 'slow',
  }, async () => {
    let sent = 0;
    hub.fault = ({ url, range }, response) => {
      if (!url.includes('signature') || range === undefined) return false;
      if (sent++ === 0) return { cutAfter: 5_000_000 };
      response.destroy();
      return true;
    };
    const broken = complaint(await run('compress', NAME, '-o', output, '--keep'));
    expect(broken).toMatchObject({ status: 2, lines: 1, stack: false });
    expect(existsSync(output)).toBe(false);
    const [incomplete] = filesBelow(home).filter((path) => path.endsWith('.incomplete'));
    const have = statSync(incomplete!).size;
    expect(have).toBeGreaterThan(1_000_000);
    hub.reset();
    expect(await run('compress', NAME, '-o', output, '--keep')).toMatchObject({ status: 0 });
    expect(hub.sentBytes).toBeLessThan(bytesOfModel - have + 10_000);
    await expectRestored(output);
  });
});

describe("files that differ from the Hub's list", () => {
  const others: Record<string, (bytes: Buffer) => Content> = {
    'other bytes': (bytes) => {
      const changed = Buffer.from(bytes);
      changed[changed.length >> 1]! ^= 1;
      return changed;
    },
    'more bytes': (bytes) => Buffer.concat([bytes, Buffer.alloc(100)]),
    'fewer bytes': (bytes) => bytes.subarray(0, bytes.length - 100),
  };
  for (const flags of [[], ['--keep']])
    test.each(Object.keys(others))(`%s: refused ${flags}`, async (what) => {
      const { files } = hub.repositories.get(NAME)!;
      const listed = files.get('model.safetensors')!;
      const bytes = others[what]!(listed.bytes as Buffer);
      // listed as it was, sent as it is now
      hub.fault = ({ url, range }, response) => {
        if (!url.includes('signature')) return false;
        const [, from = '0', to = ''] = /^bytes=(\d+)-(\d+)$/.exec(range ?? '') ?? [];
        const end = Math.min(bytes.length, Number(to) + 1);
        response.writeHead(206, { 'content-range': `bytes ${from}-${end - 1}/${bytes.length}` });
        response.end(bytes.subarray(Number(from), end));
        return true;
      };
      const said = complaint(await run('compress', NAME, '-o', output, ...flags));
      expect(said).toMatchObject({ status: 2, lines: 1, stack: false });
      expect(said.message).toMatch(/someone\/small-model\/model.safetensors.*(changed|expected)/);
      expect(existsSync(output)).toBe(false);
      expect(filesBelow(home).filter((path) => lstatSync(path).size > 1_000_000)).toEqual([]);
    });
});

describe('a server', () => {
  const one = (status: number, headers: Record<string, string> = {}): Fault => {
    let done = false;
    return (_, response) => {
      if (done) return false;
      done = true;
      response.writeHead(status, headers);
      response.end();
      return true;
    };
  };
  test.each([
    ['asks to wait a second', one(429, { 'retry-after': '1' })],
    ['fails for a moment', one(503)],
    ['breaks a gateway', one(502)],
  ])('that %s is asked again', async (_, fault) => {
    hub.fault = fault;
    expect(await run('analyze', NAME)).toMatchObject({ status: 0, stderr: '' });
  });

  test.each<[string, Fault, RegExp]>([
    [
      'redirects in a loop',
      (_, r) => !!r.writeHead(302, { location: '/again' }).end(),
      /redirects more than 10/,
    ],
    [
      'redirects to a file',
      (_, r) => !!r.writeHead(302, { location: 'file:///etc/passwd' }).end(),
      /redirects to file:/,
    ],
    [
      'asks to wait an hour',
      (_, r) => !!r.writeHead(429, { 'retry-after': '3600' }).end(),
      /retry after 3600 s/,
    ],
    ['sends no JSON', (_, r) => !!r.writeHead(200).end('<html>'), /unexpected response/],
    [
      'lists a file without a name',
      ({ url }, r) =>
        url.includes('/tree/') &&
        !!r
          .writeHead(200, { 'content-type': 'application/json' })
          .end(JSON.stringify([{ type: 'file', size: 1, oid: 'a'.repeat(40) }])),
      /undefined is malformed/,
    ],
    [
      'names a commit that is a list',
      (_, r) => !!r.writeHead(200).end(JSON.stringify({ sha: ['a'.repeat(40)] })),
      /commit is missing/,
    ],
    ['names no commit', (_, r) => !!r.writeHead(200).end('{"sha":"../../../etc"}'), /commit is missing/],
  ])('that %s is refused in one line', async (_, fault, expected) => {
    hub.fault = fault;
    const said = complaint(await run('compress', NAME, '-o', output));
    expect(said).toMatchObject({ status: 2, lines: 1, stack: false });
    expect(said.message).toMatch(expected);
    expect(existsSync(output)).toBe(false);
  });

  test('that is not there at all is said at once, with what else the name may have meant', async () => {
    const nowhere = { HF_ENDPOINT: 'http://no-such-host.invalid' };
    const said = complaint(await weightpressWith(nowhere, 'analyze', 'models/mistyped'));
    expect(said).toMatchObject({ status: 2, lines: 1, stack: false });
    expect(said.message).toMatch(/models\/mistyped: no such local file; the Hub: cannot be reached/);
  });

  test('that ignores ranges is refused, not read whole', async () => {
    hub.fault = ({ url }, response) => {
      if (!url.includes('signature')) return false;
      response.writeHead(200);
      response.end(model['model.safetensors']);
      return true;
    };
    const said = complaint(await run('analyze', NAME));
    expect(said).toMatchObject({ status: 2, lines: 1 });
    expect(said.message).toMatch(/does not support range requests/);
  });
});

describe('who may read', () => {
  const withToken = (token: string) => weightpressWith({ HF_TOKEN: token }, 'analyze', 'someone/closed');
  test.each([
    ['a private model', {}, '', /set HF_TOKEN for a private one/],
    ['a private model with another token', {}, 'hf_other', /the account of your token/],
    ['a gated model', { gated: true }, '', /gated repository: request access at http.*someone\/closed/],
    [
      'a gated model with another token',
      { gated: true },
      'hf_other',
      /gated repository: request access at http.*someone\/closed/,
    ],
  ])('%s: says what to do', async (_, access, token, expected) => {
    hub.add('someone/closed', model, { token: TOKEN, ...access });
    const said = complaint(await withToken(token));
    expect(said).toMatchObject({ status: 2, lines: 1, stack: false });
    expect(said.message).toMatch(expected);
    if (token) expect(said.message).not.toContain(token);
    expect((await withToken(TOKEN)).status).toBe(0);
  });

  test('a token is sent to the Hub alone, not to its storage, and is written nowhere', async () => {
    hub.add('someone/closed', model, { token: TOKEN });
    const said = await run('compress', 'someone/closed', '-o', output, '--keep', '--json');
    expect(said.status).toBe(0);
    const [own, storage] = [
      hub.asked.filter(({ url }) => !url.includes('signature')),
      hub.asked.filter(({ url }) => url.includes('signature')),
    ];
    expect(own.every(({ authorization }) => authorization === `Bearer ${TOKEN}`)).toBe(true);
    expect(storage.length).toBeGreaterThan(0);
    expect(storage.every(({ authorization }) => authorization === undefined)).toBe(true);
    expect(said.stdout + said.stderr).not.toContain(TOKEN);
    for (const path of [...filesBelow(home), output])
      expect(readFileSync(path).includes(TOKEN), path).toBe(false);
  });

  test('a token with a line break in it is refused without being shown', async () => {
    const said = complaint(await withToken('hf_one\nhf_two'));
    expect(said).toMatchObject({ status: 2, lines: 1 });
    expect(said.message).not.toContain('hf_');
  });
});

test.each([
  ['someone/none', /no such local file, and no model/],
  [`${NAME}@v9`, /no such revision/],
  [`${NAME}/other.gguf`, /no such file in the repository/],
  ['not/a/model/here', /no such file/],
  ['../small-model', /no such file/],
])('%s is not there: one line', async (name, expected) => {
  const said = complaint(await run('analyze', name));
  expect(said).toMatchObject({ status: 2, lines: 1, stack: false });
  expect(said.message).toMatch(expected);
});

describe('from afar', () => {
  test('analyze reads less than 2 MB of a model of 5 GB', async () => {
    const rows = 50_000;
    const header = JSON.stringify({
      ...Object.fromEntries(
        Array.from({ length: 300 }, (_, i) => [
          `model.layers.${i}.weight`,
          { dtype: 'F32', shape: [rows, 84], data_offsets: [i * rows * 336, (i + 1) * rows * 336] },
        ]),
      ),
    });
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(header.length));
    const front = Buffer.concat([length, Buffer.from(header)]);
    const huge: Content = {
      length: front.length + 300 * rows * 336,
      subarray: (start, end) => {
        const bytes = Buffer.alloc(end - start);
        front.copy(bytes, 0, start, Math.min(end, front.length));
        return bytes;
      },
    };
    hub.add('someone/huge', { ...model, 'model.safetensors': huge });
    expect(huge.length).toBeGreaterThan(5e9);
    const { status, stdout } = await run('analyze', 'someone/huge', '--json');
    expect(status).toBe(0);
    const { parameters, license, losslessBytes } = JSON.parse(stdout);
    expect(parameters.unique).toBe(300 * rows * 84);
    expect(license.id).toBe('mit');
    expect(losslessBytes).toBeUndefined();
    expect(hub.sentBytes).toBeLessThan(2e6);
  });

  test('analyze --weights tells what analyze tells of the same model here', async () => {
    const folder = join(place, 'here');
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder);
    for (const [name, content] of Object.entries(model)) writeFileSync(join(folder, name), content);
    const analysis = async (...args: string[]) => {
      const { model: _, kind: __, ...rest } = JSON.parse((await run('analyze', ...args, '--json')).stdout);
      return rest;
    };
    expect(await analysis(NAME, '--weights')).toEqual(await analysis(folder));
  });

  test('a tensor of a .wpk costs its own blocks and the directory, no more', async () => {
    expect((await run('compress', NAME, '-o', output)).status).toBe(0);
    const bytes = readFileSync(output);
    hub.add('someone/small-model-wpk', { 'model.wpk': bytes });
    hub.reset();
    const opened = await open('someone/small-model-wpk/model.wpk');
    const before = hub.sentBytes;
    expect(before).toBeLessThan(2 ** 16 + 2 ** 15 + 2 ** 12);
    const read = await opened.readTensor('layer.3.weight');
    const { directory } = (opened as unknown as { container: { directory: never } }).container;
    const entry = (directory as { tensors: { name: string }[] }).tensors.find(
      ({ name }) => name === 'layer.3.weight',
    );
    const planned = planTensor(entry as never).reduce((sum, { start, end }) => sum + end - start, 0);
    expect(hub.sentBytes - before).toBe(planned);
    await opened.close();
    const local = await open(output);
    expect(Buffer.from(await local.readTensor('layer.3.weight')).equals(read)).toBe(true);
    await local.close();
  });

  test('inspect, verify and decompress take a .wpk of the Hub, by its repository or its address', {
    tags: 'slow',
  }, async () => {
    expect((await run('compress', NAME, '-o', output)).status).toBe(0);
    hub.add('someone/small-model-wpk', { 'model.wpk': readFileSync(output), 'README.md': '' });
    hub.reset();
    const name = 'someone/small-model-wpk';
    const here = JSON.parse((await run('inspect', output, '--json')).stdout);
    const inspected = await run('inspect', name, '--json');
    expect(JSON.parse(inspected.stdout)).toEqual({ ...here, file: `${name}/model.wpk` });
    expect(hub.sentBytes).toBeLessThan(2 ** 16 + 2 ** 15 + 2 ** 12);
    expect(await run('verify', `${name}/model.wpk`)).toMatchObject({ status: 0, stderr: '' });
    const address = `${hub.endpoint}/${name}/resolve/main/model.wpk`;
    expect(await run('inspect', address)).toMatchObject({ status: 0, stderr: '' });
    await expectRestored(name);
  });
});

describe('a model that runs', () => {
  const files = () =>
    Object.fromEntries(readdirSync(TINY).map((name) => [name, readFileSync(join(TINY, name))]));
  const text = 'examples/held-out.txt';

  test('evaluates and generates from the Hub as from here', { tags: 'slow' }, async () => {
    hub.add('someone/tiny', files());
    const [there, here] = [
      await run('generate', 'someone/tiny', 'The', '--tokens', '8'),
      await run('generate', TINY, 'The', '--tokens', '8'),
    ];
    expect(there).toMatchObject({ status: 0, stdout: here.stdout });
    const evaluated = await run('evaluate', 'someone/tiny', '--text', text, '--tokens', '512', '--json');
    const locally = await run('evaluate', TINY, '--text', text, '--tokens', '512', '--json');
    expect(JSON.parse(evaluated.stdout).perplexity).toBe(JSON.parse(locally.stdout).perplexity);
  });

  test('compressed with loss leaves nothing in the cache, with --keep all of it', {
    tags: 'slow',
  }, async () => {
    hub.add('someone/tiny', files());
    const lossy = [
      'compress',
      'someone/tiny',
      '-o',
      output,
      '--bits',
      '4',
      '--calibration-tokens',
      '4096',
      '--force',
    ];
    expect((await run(...lossy)).status).toBe(0);
    expect(filesBelow(home).filter((path) => /blobs|snapshots/.test(path))).toEqual([]);
    expect((await run(...lossy, '--keep')).status).toBe(0);
    expect(filesBelow(home).filter((path) => /blobs/.test(path)).length).toBeGreaterThan(2);
  });
});

describe('push', () => {
  const made = async (card = model['README.md']!) => {
    hub.add(NAME, { ...model, 'README.md': card });
    expect((await run('compress', NAME, '-o', output, '--force')).status).toBe(0);
    hub.reset();
  };

  test('uploads the file and a card with its figures; it reads back', { tags: 'slow' }, async () => {
    await made();
    const said = await run('push', output, 'someone/new', '--private');
    expect(said).toMatchObject({ status: 0, stderr: '' });
    expect(said.stdout).toMatch(/license of the original: mit \(README.md\)/);
    const { files } = hub.repositories.get('someone/new')!;
    expect((files.get('model.wpk')!.bytes as Buffer).equals(readFileSync(output))).toBe(true);
    const card = String(files.get('README.md')!.bytes);
    const { originalBytes, fileBytes } = await inspect(output);
    expect(card).toMatch(/^---\nlicense: mit\nbase_model: someone\/small-model\n/);
    expect(card).toContain(`${(originalBytes / fileBytes).toFixed(3)}:1`);
    expect(card).toContain('every byte of the original is restored');
    expect(card + said.stdout).not.toContain(TOKEN);
    await expectRestored('someone/new');
    // a card of ours is replaced, one that was written stays
    expect(await run('push', output, 'someone/new')).toMatchObject({ status: 0 });
    hub.add('someone/other', { 'README.md': 'By hand.' });
    expect((await run('push', output, 'someone/other')).stdout).toMatch(/README\.md was not changed/);
    expect(String(hub.repositories.get('someone/other')!.files.get('README.md')!.bytes)).toBe('By hand.');
  });

  test.each([
    ['no license', '# Small', /license unknown/, undefined],
    [
      'a license that asks for more',
      '---\nlicense: llama3\n---',
      /llama3 is not known to permit/,
      'license: llama3',
    ],
    [
      'a license of its own',
      '---\nlicense: other\nlicense_name: mine\nlicense_link: https://example.org\n---',
      /mine is not known to permit/,
      'license: other\nlicense_name: mine\nlicense_link: https://example.org',
    ],
  ])(
    'with %s needs --yes, and the card says what the original says',
    { tags: 'slow' },
    async (_, card, expected, said) => {
      await made(card);
      const refused = complaint(await run('push', output, 'someone/new'));
      expect(refused).toMatchObject({ status: 2, lines: 1 });
      expect(refused.message).toMatch(expected);
      expect(hub.asked).toEqual([]);
      expect((await run('push', output, 'someone/new', '--yes')).status).toBe(0);
      const written = String(hub.repositories.get('someone/new')!.files.get('README.md')!.bytes);
      if (said) expect(written).toContain(said);
      else expect(written).not.toMatch(/^license:/m);
    },
  );

  test('sends nothing of a damaged file, without a token, or with --dry-run', { tags: 'slow' }, async () => {
    await made();
    const bytes = readFileSync(output);
    bytes[bytes.length >> 1]! ^= 1;
    const damaged = join(place, 'damaged.wpk');
    writeFileSync(damaged, bytes);
    expect(complaint(await run('push', damaged, 'someone/new'))).toMatchObject({ status: 2, lines: 1 });
    const without = complaint(await weightpressWith({ HF_TOKEN: '' }, 'push', output, 'someone/new'));
    expect(without).toMatchObject({ status: 2, lines: 1 });
    expect(without.message).toMatch(/set HF_TOKEN/);
    expect((await run('push', output, 'someone/new', '--dry-run')).stdout).toMatch(/^---\nlicense: mit/);
    expect(complaint(await run('push', output, 'not-a-repository')).status).toBe(2);
    expect(hub.asked).toEqual([]);
  });
});

describe('from the library', () => {
  const stages = (reports: readonly Progress[]) => [...new Set(reports.map(({ stage }) => stage))];
  /** Aborts at the first report of a stage. */
  const stopAt = (begins: string) => {
    const stop = new AbortController();
    const onProgress = ({ stage }: Progress) => stage.startsWith(begins) && stop.abort(new Error('enough'));
    return { signal: stop.signal, onProgress };
  };

  test('a download reports its bytes; aborted, it leaves nothing and is fetched whole the next time', async () => {
    const stopped = open(NAME, { reading: 'download', ...stopAt('downloading') });
    await expect(stopped).rejects.toThrow('enough');
    expect(filesBelow(home).filter((path) => /blobs|snapshots/.test(path))).toEqual([]);
    const reports: Progress[] = [];
    const opened = await open(NAME, {
      reading: 'download',
      onProgress: (progress) => reports.push(progress),
    });
    await opened.close();
    const weights = reports.filter(({ stage }) => stage === 'downloading model.safetensors');
    expect(weights.at(-1)).toMatchObject({ done: bytesOfModel, total: bytesOfModel, unit: 'bytes' });
  });

  test('a name on the Hub is compressed; what a budget needed is not left in the cache, unless asked for', {
    tags: 'slow',
  }, async () => {
    const lossless = await compress(NAME, output);
    expect(lossless.source).toMatch(/^someone\/small-model@/);
    const budget = {
      codec: { transform: 'none' },
      budget: { bits: 6 },
      calibration: false,
      force: true,
    } as const;
    expect((await compress(NAME, output, budget)).weights).toBeGreaterThan(3_000_000);
    expect(filesBelow(home).filter((path) => /blobs|snapshots/.test(path))).toEqual([]);
    await compress(NAME, output, { ...budget, keep: true });
    expect(filesBelow(home).some((path) => /blobs/.test(path))).toBe(true);
  });

  test('an upload reports its stages; aborted, nothing is committed', async () => {
    await compress(NAME, output);
    const plan = await planPush(output, 'someone/new');
    await expect(push(output, plan, stopAt('verifying'))).rejects.toThrow('enough');
    expect(hub.repositories.has('someone/new')).toBe(false);
    await expect(push(output, plan, stopAt('hashing'))).rejects.toThrow('enough');
    expect([...hub.repositories.get('someone/new')!.files.keys()]).toEqual([]);
    const reports: Progress[] = [];
    const { wroteCard } = await push(output, plan, { onProgress: (progress) => reports.push(progress) });
    expect(wroteCard).toBe(true);
    expect(stages(reports)).toEqual(
      expect.arrayContaining(['verifying', 'hashing model.wpk', 'uploading model.wpk']),
    );
    const { size } = statSync(output);
    expect(reports.find(({ stage, done }) => stage === 'uploading model.wpk' && done === size)).toBeDefined();
  });
});
