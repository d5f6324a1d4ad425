import { describe, expect, it } from 'vitest';
import { circles, forbiddenImports, readImports } from '../scripts/imports.js';

const imports = readImports();

describe('what imports what in src/', () => {
  it('runs down the folders of ARCHITECTURE.md, without an exception', () => {
    expect(forbiddenImports(imports)).toEqual([]);
  });

  it('never goes in a circle', () => {
    expect(circles(imports).map((files) => files.join(' > '))).toEqual([]);
  });
});
