// @module-tag slow
import { execFileSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isInputError } from '../src/index.js';
import { PLAIN } from '../src/models/pickle/allowed.js';
import { readPickle } from '../src/models/pickle/machine.js';
import { Complex } from '../src/models/pickle/values.js';
import { complaint, weightpress } from './helpers/cli.js';
import { needs } from './helpers/needs.js';
import { pickle, raw } from './helpers/pickle.js';
import { folder } from './helpers/safetensors.js';

const place = folder({});
const at = (name: string) => join(place, name);
const read = (bytes: Uint8Array) => readPickle(bytes, { allowed: PLAIN, file: 'a.pkl' }).value;

function python(code: string): Uint8Array | undefined {
  try {
    return new Uint8Array(
      execFileSync('python3', [
        '-c',
        `import sys, pickle
sys.stdout.buffer.write(${code})`,
      ]),
    );
  } catch {
    return undefined;
  }
}

describe('what Python writes is read', () => {
  test.each([0, 1, 2, 3, 4, 5])('protocol %i', needs(python('b"x"'), 'Python'), (protocol) => {
    const value =
      '{"a": [1, -2, 2**40, -2**70, 1.5, True, None], "b": (1, "\\u00e9\\n"), 3: b"\\x00\\xff", "c": complex(1, -2), "d": {"e": []}}';
    const map = read(python(`pickle.dumps(${value}, ${protocol})`)!) as Map<unknown, unknown>;
    expect(map.get('a')).toEqual([1, -2, 2 ** 40, -(2n ** 70n), 1.5, true, null]);
    expect(map.get('b')).toEqual([1, 'é\n']);
    expect(map.get(3)).toEqual(Uint8Array.of(0, 255));
    expect(map.get('c')).toEqual(new Complex(1, -2));
    expect(map.get('d')).toEqual(new Map([['e', []]]));
  });

  test('lists that hold themselves', () => {
    const list = read(raw(']q', 0, 'h', 0, 'a.')) as unknown[];
    expect(list[0]).toBe(list);
  });
});

/** Seconds and megabytes that refusing a file may take. */
const LIMIT_SECONDS = 5;
const LIMIT_MEGABYTES = 200;

/** Refused by the command line, in one line, within limits; `touched` must not appear. */
function refused(name: string, bytes: Uint8Array, message: RegExp): void {
  writeFileSync(at(name), bytes);
  const started = performance.now();
  const { status, lines, stack, message: said } = complaint(weightpress('audit', at(name)));
  expect({ status, lines, stack }).toEqual({ status: 2, lines: 1, stack: false });
  expect(said).toMatch(message);
  expect((performance.now() - started) / 1000).toBeLessThan(LIMIT_SECONDS * 4); // other tests run beside this one
  expect(existsSync(at('touched'))).toBe(false);
}

const call = (module: string, name: string, argument: string) =>
  raw(0x80, 2, `c${module}\n${name}\n`, 'U', argument.length, argument, 0x85, 'R.');

describe('pickles that want to run something are refused by name', () => {
  const touch = `touch ${at('touched')}`;
  test.each([
    ['os.system', call('os', 'system', touch), /uses "os\.system"/],
    ['posix.system', call('posix', 'system', touch), /"posix\.system"/],
    ['builtins.eval', call('builtins', 'eval', '1+1'), /"builtins\.eval"/],
    ['subprocess', call('subprocess', 'Popen', touch), /"subprocess\.Popen"/],
    ['a name on the stack', raw(0x80, 4, 0x8c, 2, 'os', 0x8c, 6, 'system', 0x93, '.'), /"os\.system"/],
    ['the old way', raw("(S'x'\nios\nsystem\n."), /"os\.system"/],
    [
      'a nested reduce',
      raw(0x80, 2, 'cbuiltins\ngetattr\n', 'cos\nsystem\n', 0x85, 'R.'),
      /"builtins\.getattr"/,
    ],
    ['reduce of what was built', raw(0x80, 2, '}', ')R.'), /calls a value that is not a class or function/],
    [
      'an attribute of an allowed name',
      raw(0x80, 4, 0x8c, 8, 'builtins', 0x8c, 16, 'complex.__init__', 0x93, '.'),
      /"builtins\.complex\.__init_/,
    ],
    ['an extension', raw(0x80, 2, 0x82, 1, '.'), /opcode 130/],
    ['a persistent id', raw(0x80, 2, 'U', 1, 'x', 'Q.'), /refers to external data/],
  ] as const)(
    '%s',
    (name, bytes, message) => refused(`${name.replaceAll(' ', '-')}.pkl`, bytes, message),
    30_000,
  );
});

describe('pickles that want to exhaust something', () => {
  test('a memo bomb stays the graph that it is', () => {
    // 200 lists, each of the one before twice: 2^200 leaves
    const parts: (string | number)[] = [0x80, 2, ']q', 0];
    for (let i = 1; i < 200; i++) parts.push(']q', i, '(h', i - 1, 'h', i - 1, 'e');
    writeFileSync(at('memo.pkl'), raw(...parts, '.'));
    const { status, stdout } = weightpress('audit', at('memo.pkl'));
    expect(status).toBe(0);
    expect(stdout).toMatch(/holds 0 numbers/);
  });

  test('copies of a large list', () => {
    const many = 'K\x01'.repeat(10_000);
    const parts = [
      raw(0x80, 2, ']q', 0, '(', many, 'e0'),
      ...Array.from({ length: 5000 }, () => raw('cbuiltins\nset\nh', 0, 0x85, 'R0')),
    ];
    refused('copies.pkl', raw(...parts, 'N.'), /copies over the limit/);
  }, 30_000);

  const many = (operation: string, count = 3_000_000) =>
    Buffer.alloc(operation.length * count, Buffer.from(operation, 'latin1'));
  const bombs: [string, Uint8Array][] = [
    ['dicts', raw(0x80, 4, many('}'), '.')],
    ['sets', raw(0x80, 4, many('\x8f'), '.')],
    ['lists of one', raw(0x80, 4, many(']', 1_000_000), many('a', 999_999), '.')],
    ['tuples', raw(0x80, 4, 'N', many('\x85'), '.')],
    ['bytes', raw(0x80, 4, many('C\0'), '.')],
    ['floats', raw(0x80, 4, '](', many('G\x3f\xf1\x11\x11\x11\x11\x11\x11'), 'e.')],
    [
      'long lines',
      raw(0x80, 2, ...Array.from({ length: 40 }, () => raw('V', many('a', 800_000), '\n')), 'R.'),
    ],
  ];
  test.each(bombs)(`millions of %s, in less than ${LIMIT_MEGABYTES} MB`, { tags: 'slow' }, (_, bytes) => {
    refused('millions.pkl', bytes, /limit of 72000000 bytes of memory|not a class or function/);
    expect(peakMegabytes(at('millions.pkl'))).toBeLessThan(LIMIT_MEGABYTES);
  });

  // 60 pairs, each of the one before twice: as text it would have 2^60 characters
  const pairs = raw(')\x94', ...Array.from({ length: 60 }, (_, i) => raw('h', i, 'h', i, 0x86, 0x94)));
  test.each([
    ['a name', raw(0x80, 4, pairs, 'h', 60, 'h', 60, 0x93, '.'), /expected strings as module and name/],
    ['a NumPy type', raw(0x80, 4, pairs, 'cnumpy\ndtype\nh', 60, 0x85, 'R.'), /NumPy type without a name/],
    [
      'a NumPy shape',
      raw(
        0x80,
        4,
        pairs,
        'cnumpy.core.multiarray\n_reconstruct\n)R(K\x01h',
        60,
        0x85,
        'cnumpy\ndtype\nU\x02f8',
        0x85,
        'RNC\0tb.',
      ),
      /NumPy array: shape \[NaN\]/,
    ],
    ['nothing, where the pickle ends', raw(0x80, 4, '(.'), /stack underflow/],
  ] as const)('a memo bomb as %s', (_, bytes, message) => refused('text.pkl', bytes, message), 30_000);

  test('a memo bomb as a key is called a key', () => {
    writeFileSync(at('key.pkl'), raw(0x80, 4, pairs, '}h', 60, 'K\x07s.'));
    expect(weightpress('audit', at('key.pkl')).status).toBe(0);
  });

  test('a billion operations, gzipped', { tags: 'slow' }, () => {
    const zeros = Buffer.alloc(2 ** 24, 'N0');
    refused('operations.pkl', raw(0x80, 2, zeros), /limit of 4000000 operations/);
  });

  test('a gzip bomb', { tags: 'slow' }, () => {
    // members of a gzip file follow each other
    const member = gzipSync(Buffer.alloc(2 ** 26));
    refused('bomb.gz', raw(...Array.from({ length: 160 }, () => member)), /is over the limit of \d+ bytes/);
  });

  test('announced lengths of what is not there', () => {
    for (const bytes of [
      raw(0x80, 4, 0x8e, new Uint8Array(8).fill(255), '.'),
      raw(0x80, 2, 'T', new Uint8Array(4).fill(127), '.'),
      raw(0x80, 2, 0x8b, new Uint8Array(4).fill(127), '.'),
    ])
      refused('length.pkl', bytes, /more bytes, found|an integer of|strings of more than/);
  }, 30_000);

  test(`memory stays below ${LIMIT_MEGABYTES} MB`, () => {
    for (const file of ['operations.pkl', 'bomb.gz', 'copies.pkl'])
      expect(peakMegabytes(at(file))).toBeLessThan(LIMIT_MEGABYTES);
  }, 60_000);
});

/** What the audit of a file takes at most. */
function peakMegabytes(file: string): number {
  const main = new URL('../dist/cli/main.js', import.meta.url).href;
  const code = `process.argv = ['node', 'weightpress', 'audit', ${JSON.stringify(file)}]; process.on('exit', () => console.error('peak', process.resourceUsage().maxRSS)); await import(${JSON.stringify(main)});`;
  writeFileSync(at('peak.mjs'), code);
  return Number(/peak (\d+)/.exec(complaintOf(at('peak.mjs')))?.[1]) / 1024;
}

function complaintOf(script: string): string {
  try {
    execFileSync(process.execPath, [script], { stdio: 'pipe' });
    return '';
  } catch (error) {
    return String((error as { stderr: Buffer }).stderr);
  }
}

test('damaged pickles are refused with a reason, and nothing else', () => {
  const whole = pickle({ a: [1.5, 2.5, 3], b: { c: 'text', d: [null, true] }, e: 7 });
  fc.assert(
    fc.property(fc.nat(whole.length - 1), fc.nat(255), fc.boolean(), (place, byte, cut) => {
      const bad = cut ? whole.slice(0, place) : whole.slice();
      if (!cut) bad[place] = byte;
      try {
        read(bad);
      } catch (error) {
        expect(isInputError(error)).toBe(true);
      }
    }),
    { seed: 11, numRuns: 2000 },
  );
});
