import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { needs } from './helpers/needs.js';

// What a run that computes leaves in the user's folders, and asks of the network: nothing.

const TINY = 'examples/gpt-neo-tiny';
const TEXT = 'examples/held-out.txt';
const place = mkdtempSync(join(tmpdir(), 'weightpress-private-'));
afterAll(() => rmSync(place, { recursive: true }));

/** Calls by which hosts are looked up and reached, and files that are opened for it. */
const CALLS = 'connect,sendto,sendmmsg,sendmsg,openat';
const ASKING = /AF_INET|sin6?_port|\/etc\/(resolv\.conf|hosts|nsswitch\.conf)|ca-(certificates|bundle)/;
const HAS_STRACE = spawnSync('strace', ['-V']).status === 0;

/** Runs Node in folders that are new. @returns what is in them after, and the calls that ask for a host. */
function watched(name: string, args: readonly string[]) {
  const fresh = ['home', 'cache', 'temporary'].map((folder) => join(place, name, folder));
  for (const folder of fresh) mkdirSync(folder, { recursive: true });
  const [HOME, XDG_CACHE_HOME, TMPDIR] = fresh;
  const log = join(place, name, 'calls');
  const env = { PATH: process.env.PATH, HOME, XDG_CACHE_HOME, TMPDIR };
  const tracing = ['-f', '-qq', '--seccomp-bpf', '-e', `trace=${CALLS}`, '-o', log];
  const { status, stderr } = spawnSync('strace', [...tracing, process.execPath, ...args], {
    env,
    encoding: 'utf8',
  });
  const left = fresh.flatMap((folder) => readdirSync(folder, { recursive: true, encoding: 'utf8' }));
  const asked = readFileSync(log, 'utf8')
    .split('\n')
    .filter((line) => ASKING.test(line));
  return { status, stderr, left, asked };
}

describe('a run that computes', needs(HAS_STRACE, 'strace'), () => {
  test('would be seen if it asked for a host', () => {
    const script = 'fetch("http://weightpress.invalid").catch(() => {})';
    expect(watched('control', ['-e', script]).asked).not.toEqual([]);
  });

  test('would be seen if the runtime reported on it', () => {
    const onnxruntime = 'const { InferenceSession } = require("onnxruntime-node"); InferenceSession.create';
    const { left, asked } = watched('reporting', ['-e', `${onnxruntime}(new Uint8Array(8)).catch(() => {})`]);
    expect([...left, ...asked]).not.toEqual([]);
  });

  const output = join(place, 'small.wpk');
  const few = ['--calibration-tokens', '4096'];
  test.each<[string, ...string[]]>([
    ['generate', TINY, 'The', '--tokens', '4'],
    ['evaluate', TINY, '--text', TEXT, '--tokens', '512'],
    ['compress', TINY, '-o', output, '--bits', '4', ...few, '--threads', '2'],
    ['lab', TINY, '--ratio', '4', '--tokens', '256', ...few],
    ['compress', TINY, '-o', join(place, 'lossless.wpk'), '--threads', '2'],
  ])('%s %s leaves nothing behind and asks for no host', { tags: 'slow' }, (...args) => {
    expect(watched(args.join(' ').replaceAll('/', '-').slice(0, 80), ['dist/cli/main.js', ...args])).toEqual({
      status: 0,
      stderr: '',
      left: [],
      asked: [],
    });
  });

  test('as a library too', () => {
    const script = `
      import { generate, open } from ${JSON.stringify(join(process.cwd(), 'dist/index.js'))};
      const model = await open(${JSON.stringify(TINY)});
      await generate(model, 'The', { maxTokens: 2 });
      await model.close();`;
    const file = ['--input-type=module', '-e', script];
    expect(watched('library', file)).toEqual({ status: 0, stderr: '', left: [], asked: [] });
  });
});
