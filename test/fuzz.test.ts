import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { folder } from './helpers/safetensors.js';

const fuzz = (...options: string[]) => {
  const found = folder();
  const script = join('scripts', 'fuzz', 'run.js');
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [script, '--out', found, '--minutes', '10', ...options],
    { encoding: 'utf8' },
  );
  return { status, stdout, stderr, saved: () => (existsSync(found) ? readdirSync(found).sort() : []) };
};

describe('mutated inputs', () => {
  test('of every kind are read or refused, and come back from a .wpk as they were', { tags: 'slow' }, () => {
    const { status, stdout, stderr } = fuzz('--inputs', '500', '--seed', '1');
    expect(`${stdout}${stderr}`).toContain(' 0 findings');
    expect(status).toBe(0);
    const tried = Object.fromEntries(
      [...stdout.matchAll(/^(\w+) +(\d+) inputs/gm)].map(([, kind, n]) => [kind, Number(n)]),
    );
    const rounds = {
      wpk: 125,
      gguf: 75,
      pickle: 75,
      zip: 75,
      safetensors: 50,
      json: 25,
      hub: 25,
      onnx: 50,
      all: 500,
    };
    expect(tried).toEqual(rounds);
  });
});

describe('the fuzzer', () => {
  test('finds errors that are no refusals, hangs, memory and deaths, goes on behind them, and keeps the inputs', {
    tags: 'slow',
  }, () => {
    const { status, stdout, saved } = fuzz(
      ...['--only', 'faulty', '--inputs', '8', '--seconds', '3', '--processes', '1'],
    );
    expect(status).toBe(1);
    expect(stdout).toMatch(/input 0: TypeError: not an error of the input/);
    expect(stdout).toMatch(/input 1: TypeError: nobody waits for it/);
    expect(stdout).toMatch(/input 2: does not end within/);
    expect(stdout).toMatch(/input 3: (does not end within|the process ends)/);
    expect(stdout).toMatch(/input 4: takes \d{3} MB/);
    expect(stdout).toMatch(/input 5: the process ends \(SIGABRT\)/);
    expect(stdout).not.toMatch(/input [67]:/);
    expect(saved()).toEqual([0, 1, 2, 3, 4, 5].map((n) => `faulty-1-${n}.json`));
  });

  test('tries a kept input again', () => {
    const found = folder({
      'a.json': JSON.stringify({
        kind: 'faulty',
        files: { fault: Buffer.from('throws').toString('base64') },
      }),
    });
    const { status, stdout } = fuzz('--input', join(found, 'a.json'));
    expect(status).toBe(1);
    expect(stdout).toMatch(/not an error of the input/);
  });

  test('does not know other kinds', () => {
    const { status, stderr } = fuzz('--only', 'cheese');
    expect(status).toBe(2);
    expect(stderr).toBe('--only takes wpk, safetensors, gguf, pickle, zip, json, hub, onnx\n');
  });
});
