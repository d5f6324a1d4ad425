import { execFileSync } from 'node:child_process';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { expect, it } from 'vitest';
import { TINY } from './helpers/fixtures.js';
import { folder } from './helpers/safetensors.js';

/** The blocks of code of a document, importing the built library. */
const codeOf = (document: string) =>
  [...readFileSync(document, 'utf8').matchAll(/^```js\n([\s\S]*?)^```/gm)].map(([, code]) =>
    code!.replaceAll("'weightpress'", JSON.stringify(resolve('dist/index.js'))),
  );

it('docs/library.md does what it says', { tags: 'slow' }, () => {
  const place = folder();
  cpSync(TINY, join(place, 'gpt-neo-tiny'), { recursive: true });
  cpSync('examples/held-out.txt', join(place, 'held-out.txt'));
  writeFileSync(join(place, 'guide.mjs'), codeOf('docs/library.md').join('\n'));
  const said = execFileSync(process.execPath, ['guide.mjs'], { cwd: place, encoding: 'utf8', stdio: 'pipe' });
  const lines = said.trimEnd().split('\n');
  expect(lines[0]).toBe('gpt_neo, 56 tensors');
  expect(lines[1]).toMatch(/^transformer\.wte\.weight BF16 \[4096, 128\]: row 5 begins with -?0\.\d{4}$/);
  const [, small, original, kl] = /^(\d+) of (\d+) bytes, KL divergence (\S+) nats/.exec(lines[2]!)!;
  expect(Number(small)).toBeLessThan(0.25 * Number(original));
  expect(Number(kl)).toBeLessThan(0.05);
  expect(lines[3]).toBe('lossless: 64.9 %');
  expect(lines[4]).toBe('gpt-neo-tiny: 0.3 %');
  expect(lines[5]).toMatch(/^perplexity \S+ -> \S+, KL 0\.0\d+ ± 0\.000\d$/);
  expect(lines[6]).toMatch(/^It was a dark night, and .+/);
  expect(lines[7]).toContain('model.safetensors: 2703904 bytes');
  expect(lines.slice(8)).toEqual([
    'checksums match: true, identical to the original: true',
    expect.stringMatching(/^56 tensors; BF16 \[16,16\] of \[4096,128\], from -?0\.\d{4} on$/),
    'BF16 [128] in Uint16Array',
    '14 mixtures; 1361344 bytes, 56 tensors, 21 of them in another type',
    'difference, lossless, small: gpt_neo',
    'exists: small.wpk: already exists',
  ]);
});

it('ten lines of the README do what they say', { tags: 'slow' }, () => {
  const place = folder();
  cpSync(TINY, join(place, 'model'), { recursive: true });
  const fast = 'budget: { bits: 3 }, calibration: { tokens: 2048 }';
  const program = codeOf('README.md')[0]!
    .replace('budget: { kl: 0.01 }', fast)
    .replace('onProgress: console.log', 'onProgress: () => {}');
  expect(program).toContain(fast);
  writeFileSync(join(place, 'readme.mjs'), program);
  const [ratio, kl] = execFileSync(process.execPath, ['readme.mjs'], { cwd: place, encoding: 'utf8' }).split(
    ' ',
  );
  expect(Number(ratio)).toBeCloseTo(0.649, 2);
  expect(Number(kl)).toBeGreaterThan(0);
});
