// @module-tag slow
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { rolldown } from 'rolldown';
import { beforeAll, describe, expect, test } from 'vitest';
import { TINY } from './helpers/fixtures.js';
import { folder } from './helpers/safetensors.js';

// The packed npm package, installed in an empty folder, as its users have it: nothing of the project is in reach.

const place = folder();
const at = (...names: string[]) => join(place, ...names);
const run = (command: string, ...args: string[]) =>
  execFileSync(command, args, { cwd: place, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
const node = (file: string, source: string) => {
  writeFileSync(at(file), source);
  return run(process.execPath, file);
};

/** Installs the versions of the project's own lock file, so that npm finds them in its cache. */
function install(tarball: string): void {
  const lock = JSON.parse(readFileSync('package-lock.json', 'utf8'));
  const { version, bin, engines, dependencies } = JSON.parse(readFileSync('package.json', 'utf8'));
  const user = { name: 'user', version: '1.0.0', dependencies: { weightpress: `file:${tarball}` } };
  const packages = Object.fromEntries(
    Object.entries<{ dev?: boolean }>(lock.packages).filter(([name, { dev }]) => name && !dev),
  );
  const own = { version, resolved: `file:${tarball}`, bin, engines, dependencies };
  writeFileSync(at('package.json'), JSON.stringify(user));
  writeFileSync(
    at('package-lock.json'),
    JSON.stringify({
      ...user,
      lockfileVersion: 3,
      packages: { '': user, 'node_modules/weightpress': own, ...packages },
    }),
  );
  run('npm', 'ci', '--prefer-offline', '--ignore-scripts', '--no-audit', '--no-fund');
}

let packed: string[];

beforeAll(() => {
  const [pack] = JSON.parse(
    execFileSync('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', place], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }),
  );
  packed = pack.files.map(({ path }: { path: string }) => path);
  install(pack.filename);
  cpSync(TINY, at('tiny'), { recursive: true });
}, 300_000);

const SESSION = `
  const model = await open('tiny');
  await compress(model, OUTPUT);
  await model.close();
  const { good, bitExact } = await verify(OUTPUT, { against: 'tiny' });
  console.log(good, bitExact);
`;

describe('the packed package', () => {
  test('holds what runs and what is read, no tests and no build files', () => {
    expect(packed).toEqual(
      expect.arrayContaining(['dist/index.js', 'dist/web/index.js', 'assets/calibration.txt']),
    );
    const allowed = /^(dist|docs|spec|assets)\/|^(README|CHANGELOG)\.md$|^LICENSE$|^package\.json$/;
    expect(packed.filter((path) => !allowed.test(path) || /tsbuildinfo|dist\/page/.test(path))).toEqual([]);
  });

  test('is used from ECMAScript modules', () => {
    const source = `import { compress, open, verify } from 'weightpress'; const OUTPUT = 'esm.wpk'; ${SESSION}`;
    expect(node('esm.mjs', source)).toBe('true true\n');
  });

  test('is used from CommonJS', () => {
    const source = `
      const OUTPUT = 'cjs.wpk';
      import('weightpress').then(async ({ compress, open, verify }) => { ${SESSION} });
    `;
    expect(node('cjs.cjs', source)).toBe('true true\n');
  });

  test('can be required where Node requires modules', () => {
    const source = `
      const OUTPUT = 'required.wpk';
      const { compress, open, verify } = require('weightpress');
      (async () => { ${SESSION} })();
    `;
    expect(node('required.cjs', source)).toBe('true true\n');
  });

  test('has a command', () => {
    const weightpress = (...args: string[]) => run(at('node_modules/.bin/weightpress'), ...args);
    expect(weightpress('--version').trim()).toBe(JSON.parse(readFileSync('package.json', 'utf8')).version);
    weightpress('compress', 'tiny', '-o', 'command.wpk');
    expect(weightpress('verify', 'command.wpk', '--against', 'tiny')).toMatch(/bit-exact/);
    expect(statSync(at('command.wpk')).size).toBe(statSync(at('esm.wpk')).size);
  });
});

describe('the types of the packed package', () => {
  const project = (name: string, options: object, source: string) => {
    mkdirSync(at(name), { recursive: true });
    writeFileSync(at(name, 'main.mts'), source);
    const strict = {
      strict: true,
      noEmit: true,
      skipLibCheck: false,
      target: 'es2022',
      exactOptionalPropertyTypes: true,
    };
    writeFileSync(
      at(name, 'tsconfig.json'),
      JSON.stringify({ compilerOptions: { ...strict, ...options }, include: ['main.mts'] }),
    );
    const tsc = resolve('node_modules/.bin/tsc');
    try {
      execFileSync(tsc, ['-p', name], { cwd: place, encoding: 'utf8' });
      return '';
    } catch (error) {
      return (error as { stdout: string }).stdout;
    }
  };
  const modes = [
    ['nodenext', { module: 'nodenext', moduleResolution: 'nodenext' }],
    ['bundler', { module: 'esnext', moduleResolution: 'bundler' }],
  ] as const;

  beforeAll(() => {
    mkdirSync(at('node_modules/@types'), { recursive: true });
    if (!readdirSync(at('node_modules/@types')).includes('node'))
      for (const name of ['@types/node', 'undici-types'])
        symlinkSync(resolve('node_modules', name), at('node_modules', name));
  });

  test.each(modes)('pass a strict check: %s', (name, options) => {
    const source = `
      import { compress, inspect, open, verify, type Model } from 'weightpress';
      const model: Model = await open('tiny');
      await compress(model, 'typed.wpk');
      const { good }: { good: boolean } = await verify('typed.wpk');
      console.log(good, (await inspect('typed.wpk')).fileBytes.toFixed());
      // @ts-expect-error an output is a path
      await compress(model, 1);
    `;
    expect(project(name, { ...options, lib: ['es2023'], types: ['node'] }, source)).toBe('');
  });

  test.each(modes)('of the browser pass without those of Node: %s', (name, options) => {
    const source = `
      import { open } from 'weightpress/browser';
      import { load } from 'weightpress/browser/run';
      const model = await open(new Blob([]));
      for await (const { name, bytes } of model.all()) console.log(name.length, bytes.length, load);
      // @ts-expect-error there is no Node here
      process.exit();
    `;
    const lib = ['es2023', 'dom', 'dom.asynciterable'];
    expect(project(`browser-${name}`, { ...options, lib, types: [] }, source)).toBe('');
  });
});

describe('the packed package in a bundle for browsers', () => {
  test('needs nothing of Node, and brings its worker', async () => {
    writeFileSync(at('page.mjs'), `export { open } from 'weightpress/browser';`);
    const bundle = await rolldown({ input: at('page.mjs'), platform: 'browser', cwd: place });
    const { output } = await bundle.generate({ format: 'esm' });
    await bundle.close();
    const chunks = output.filter((file) => file.type === 'chunk');
    expect(chunks.flatMap(({ imports }) => imports).filter((name) => name.startsWith('node:'))).toEqual([]);
    expect(chunks[0]!.exports).toEqual(['open']);
    expect(chunks.map(({ code }) => code).join()).toMatch(/decode-worker/);
  });
});
