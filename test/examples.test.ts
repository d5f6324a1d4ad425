import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import * as weightpress from '../src/index.js';

it('examples/library.js does what it says', { tags: 'slow' }, () => {
  const said = execFileSync(process.execPath, ['examples/library.js'], { encoding: 'utf8' });
  expect(said).toMatch(/^transformer\.wte\.weight BF16 \[4096,128\], first row: 0\.0027/);
  const [, original, lossless] = /lossless: (\d+) -> (\d+) bytes/.exec(said)!;
  const [, small, stages] = /3 bits per weight: (\d+) bytes; (.*)/.exec(said)!;
  expect(Number(lossless)).toBeLessThan(0.7 * Number(original));
  expect(Number(small)).toBeLessThan(0.25 * Number(original));
  expect(stages).toMatch(/^calibrating \(tokens\), quantizing, .*\(weights\), measuring \(tokens\)$/);
  const [, before, after, kl] = /perplexity (\S+) -> (\S+), KL divergence (\S+) nats/.exec(said)!;
  expect(Number(after)).toBeGreaterThan(Number(before));
  expect(Number(kl)).toBeGreaterThan(0);
  expect(said).toContain('\n5 files restored, 5 in memory, sound: true, bit-exact: true\n');
  expect(said).toContain(`KL ${kl}`); // what was attached, as catalog reads it
  expect(said).toMatch(/\n1348864 parameters, 5 of 8 roles, license cc0-1\.0\n/);
  expect(said).toMatch(/\ncontradicted: lossless at 0\.16 bits/);
  expect(said).toContain('small.wpk to user/gpt-neo-tiny-wpk, cc0-1.0, may be shared: true\n');
  expect(said).toMatch(
    /exists: already exists\nno-gguf-family: .*model_type gpt_neo.*\nended: no longer needed\n$/,
  );
});

it('every exported name is used in an example or a test that imports it from the library', () => {
  const importsOf = (path: string, module: RegExp) =>
    [...readFileSync(path, 'utf8').matchAll(/import \{([^}]*)\} from '([^']*)'/g)]
      .filter(([, , from]) => module.test(from!))
      .flatMap(([, names]) => names!.split(',').map((name) => name.trim().replace(/^type | as .*$/g, '')));
  const used = new Set([
    ...importsOf('examples/library.js', /^weightpress$/),
    ...readdirSync('test')
      .filter((name) => name.endsWith('.test.ts'))
      .flatMap((name) => importsOf(`test/${name}`, /src\/index\.js$/)),
    ...['interface', 'exports'].flatMap((name) =>
      [...readFileSync(`test/${name}.test.ts`, 'utf8').matchAll(/weightpress\.(\w+)/g)].map(
        ([, used]) => used,
      ),
    ),
  ]);
  expect(Object.keys(weightpress).filter((name) => !used.has(name))).toEqual([]);
});
