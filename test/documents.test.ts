// The documents: links lead somewhere, files and scripts that they name exist.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { drawFolders, LAYERS, readImports } from '../scripts/imports.js';

const FOLDERS = [
  '.',
  '.github',
  'docs',
  'spec',
  'spec/vectors',
  'examples',
  'examples/machines',
  'assets',
  'fixtures',
];
const DOCUMENTS = FOLDERS.flatMap((folder) =>
  readdirSync(folder)
    .filter((name) => name.endsWith('.md'))
    .map((name) => join(folder, name)),
);
const read = (path: string) => readFileSync(path, 'utf8');
const withoutCode = (text: string) => text.replaceAll(/```[\s\S]*?```/g, '');

/** Anchors of a document's headings, as GitHub makes them. */
function anchorsOf(path: string): string[] {
  return [...withoutCode(read(path)).matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
    heading!
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

describe.each(DOCUMENTS)('%s', (path) => {
  it('has no broken links', () => {
    const links = [...withoutCode(read(path)).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => target!);
    for (const link of links.filter((target) => !/^[a-z]+:/.test(target))) {
      const [file, anchor] = link.split('#');
      const target = file ? join(dirname(path), file) : path;
      expect(existsSync(target), link).toBe(true);
      if (anchor) expect(anchorsOf(target), link).toContain(anchor);
    }
  });

  it('names files that exist', () => {
    const names = [
      ...read(path).matchAll(/(?<![\w./-])((?:src|test|scripts|bench|fixtures|assets)\/[\w./-]*\w)/g),
    ];
    for (const [, name] of names.filter(([, name]) => !name!.includes('NAME')))
      expect(existsSync(name!), name).toBe(true);
  });
});

it('commands of npm that documents name are in package.json', () => {
  const { scripts } = JSON.parse(read('package.json'));
  for (const path of DOCUMENTS)
    for (const [, name] of read(path).matchAll(/\bnpm run ([\w:]+)/g))
      expect(scripts, path).toHaveProperty([name!]);
});

describe('ARCHITECTURE.md', () => {
  const text = read('ARCHITECTURE.md');

  it('has the drawing of the imports as they are', () => {
    expect(text).toContain(drawFolders());
  });

  it('has the folders in their order', () => {
    const rows = [...text.matchAll(/^\| `([a-z-]+)\/` \|/gm)].map(([, name]) => name);
    expect(rows).toEqual(LAYERS.map(([name]) => name));
  });

  const imports = readImports();
  const joins = (a: string, b: string) => imports.get(a)?.includes(b) || imports.get(b)?.includes(a);
  const walks = text
    .split('## Four walks')[1]!
    .split('\n### ')
    .slice(1)
    .map(
      (walk) =>
        [walk.split('\n')[0]!, [...walk.matchAll(/^\d+\. `([^`]+)`/gm)].map(([, file]) => file!)] as const,
    );

  it.each(walks)('%s: passes each file once, and each leads to the next ones', (_, files) => {
    expect(files.length).toBeGreaterThan(10);
    expect(new Set(files).size).toBe(files.length);
    for (const [i, file] of files.entries()) {
      expect(existsSync(join('src', file)), file).toBe(true);
      if (i > 0)
        expect(
          files.slice(0, i).some((earlier) => joins(earlier, file)),
          file,
        ).toBe(true);
    }
  });
});
