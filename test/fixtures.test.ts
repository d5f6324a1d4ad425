import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { fixture } from './helpers/fixtures.js';

const digests = new Map(
  readFileSync(fixture('SHA256SUMS'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => [line.slice(66), line.slice(0, 64)] as const),
);

test('fixtures are the files that the figures were measured on', () => {
  const digestOf = (name: string) =>
    createHash('sha256')
      .update(readFileSync(fixture(name)))
      .digest('hex');
  expect([...digests.keys()].filter((name) => digestOf(name) !== digests.get(name))).toEqual([]);
});

test('every fixture has a digest', () => {
  const files = readdirSync(fixture('.'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name !== 'README.md' && entry.name !== 'SHA256SUMS')
    .map(({ parentPath, name }) => join(parentPath, name));
  expect(files.filter((path) => ![...digests.keys()].some((name) => fixture(name) === path))).toEqual([]);
});
