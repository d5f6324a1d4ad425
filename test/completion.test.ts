import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { complaint, weightpress } from './helpers/cli.js';
import { needs } from './helpers/needs.js';
import { folder } from './helpers/safetensors.js';

// Scripts that complete commands and options in a shell, each run by its shell where that is installed.

const SHELLS = ['bash', 'zsh', 'fish'];
const scripts = Object.fromEntries(SHELLS.map((shell) => [shell, weightpress('completion', shell).stdout]));
const place = folder(scripts);
const has = (shell: string) => spawnSync(shell, ['-c', 'exit']).status === 0;
const lines = (text: string) => text.split('\n').filter(Boolean);

/** Runs a line in a shell that has loaded its script. */
function run(shell: string, line: string): string[] {
  const { status, stdout, stderr } = spawnSync(shell, ['-c', `. ${join(place, shell)}; ${line}`], {
    encoding: 'utf8',
  });
  expect(stderr).toBe('');
  expect(status).toBe(0);
  return lines(stdout);
}

describe.each(SHELLS)('the script for %s', (shell) => {
  it('has every command, and every option of those that have most', () => {
    const commands = [...weightpress('--help').stdout.matchAll(/^ {2}([a-z]+) \[/gm)].map(
      ([, name]) => name!,
    );
    expect(commands.length).toBeGreaterThan(11);
    for (const name of commands) expect(scripts[shell]).toMatch(new RegExp(`\\b${name}\\b`));
    for (const command of ['compress', 'audit'])
      for (const option of weightpress(command, '--help').stdout.match(/(?<=^ {2}(-\w, )?)--[a-z-]+/gm)!)
        expect(scripts[shell]).toContain(shell === 'fish' ? `-l ${option.slice(2)} ` : option);
  });

  it('is accepted by the shell', needs(has(shell), shell), () => {
    expect(spawnSync(shell, ['-n', join(place, shell)], { encoding: 'utf8' })).toMatchObject({
      status: 0,
      stderr: '',
    });
  });
});

/** What a user types before the tab key, and the candidates; none where the shell lists files. */
const CASES: readonly (readonly [typed: string, candidates: readonly string[]])[] = [
  ['co', ['completion', 'compress']],
  ['compress --k', ['--keep', '--keep-largest', '--kl']],
  ['lab --dimensions ', ['1', '2']],
  ['compress model --codec tr', ['trellis']],
  ['completion ', ['bash', 'fish', 'zsh']],
  ['help ver', ['verify']],
];

describe('bash', needs(has('bash'), 'bash'), () => {
  const candidates = (typed: string) => {
    const words = ['weightpress', ...typed.split(' ')].map((word) => `'${word}'`);
    const setup = `COMP_WORDS=(${words.join(' ')}) COMP_CWORD=${words.length - 1}`;
    return run('bash', `${setup}; _weightpress; printf '%s\\n' "\${COMPREPLY[@]}"`).sort();
  };

  it.each(CASES)('completes %j', (typed, expected) => {
    expect(candidates(typed)).toEqual(expected);
  });

  it('completes after =, which is a word of its own', () => {
    expect(candidates('lab m --dimensions =')).toEqual(['1', '2']);
    expect(candidates('compress m --codec = loss')).toEqual(['lossless']);
  });

  it.each(['compress ', 'compress --output ', 'compress -o mod'])(
    'leaves file names to the shell: %j',
    (typed) => {
      expect(candidates(typed)).toEqual([]);
    },
  );
});

describe('fish', needs(has('fish'), 'fish'), () => {
  it.each(CASES)('completes %j', (typed, expected) => {
    const found = run('fish', `complete -C 'weightpress ${typed}'`).map((line) => line.split('\t')[0]!);
    expect(found.sort()).toEqual(expected);
  });
});

it('another shell is refused with those there are', () => {
  const { status, message } = complaint(weightpress('completion', 'csh'));
  expect(status).toBe(2);
  expect(message).toMatch(/bash, zsh, fish/);
});
