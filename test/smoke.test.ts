// @module-tag slow
import { execFileSync, spawnSync } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { rolldown } from 'rolldown';
import { beforeAll, describe, expect, test } from 'vitest';
import { TINY } from './helpers/fixtures.js';
import { needs } from './helpers/needs.js';
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

/** Installs packages as a user does, in a folder of the empty one. */
function install(folder: string, ...packages: string[]): void {
  mkdirSync(at(folder), { recursive: true });
  writeFileSync(at(folder, 'package.json'), '{}');
  run('npm', 'install', '--prefix', folder, '--prefer-offline', '--no-audit', '--no-fund', ...packages);
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
  install('.', at(pack.filename));
  cpSync(TINY, at('tiny'), { recursive: true });
  cpSync('examples/held-out.txt', at('text.txt'));
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

describe('an installation', () => {
  const lock = () => JSON.parse(readFileSync(at('package-lock.json'), 'utf8'));

  test('takes at most 60 MB', () => {
    const files = readdirSync(at('node_modules'), { recursive: true, withFileTypes: true });
    const sizes = files.map((file) => (file.isFile() ? statSync(join(file.parentPath, file.name)).size : 0));
    expect(sizes.reduce((sum, size) => sum + size)).toBeLessThan(60e6);
  });

  test('runs no install script, so that it needs nothing but the registry', () => {
    const packages = Object.entries<{ hasInstallScript?: boolean }>(lock().packages);
    expect(packages.filter(([, { hasInstallScript }]) => hasInstallScript)).toEqual([]);
    expect(packages.map(([name]) => name)).not.toContain('node_modules/onnxruntime-node');
  });

  const EVALUATION = ['evaluate', 'tiny', '--text', 'text.txt', '--tokens', '512', '--json'];
  const MAIN = 'node_modules/weightpress/dist/cli/main.js';

  test('runs models without onnxruntime-node', () => {
    const { perplexity } = JSON.parse(run(process.execPath, MAIN, ...EVALUATION));
    const native = run(process.execPath, resolve('dist/cli/main.js'), ...EVALUATION);
    expect(perplexity).toBeCloseTo(JSON.parse(native).perplexity, 3);
  });

  test('runs models where onnxruntime-node is broken, and says so in one line', () => {
    const broken = at('node_modules/onnxruntime-node');
    mkdirSync(broken);
    writeFileSync(join(broken, 'index.js'), 'throw new Error("libonnxruntime.so.1: cannot open\\nmore");');
    const { status, stderr } = spawnSync(process.execPath, [MAIN, ...EVALUATION], {
      cwd: place,
      encoding: 'utf8',
    });
    rmSync(broken, { recursive: true });
    expect(status).toBe(0);
    expect(stderr).toBe(
      'weightpress: onnxruntime-node cannot be loaded, so WebAssembly is used: libonnxruntime.so.1: cannot open\n',
    );
  });

  const isLinux = process.platform === 'linux' && process.arch === 'x64';
  const SESSIONS = {
    Bun: ['@oven/bun-linux-x64@1.4.5', 'bin/bun'],
    Deno: ['@deno/linux-x64-glibc@2.9.6', 'deno', 'run', '--allow-all'],
  } as const;
  test.each(Object.entries(SESSIONS))('works under %s', needs(isLinux, 'Linux on x64'), (name, session) => {
    const [packed, program, ...flags] = session;
    install(name, packed);
    const command = at(name, 'node_modules', packed.replace(/@[^@]*$/, ''), program);
    const weightpress = (...args: string[]) => run(command, ...flags, MAIN, ...args);
    expect(JSON.parse(weightpress(...EVALUATION)).tokens).toBe(510);
    weightpress('compress', 'tiny', '-o', `${name}.wpk`, '--bits', '3', '--calibration-tokens', '2048');
    expect(weightpress('verify', `${name}.wpk`)).toMatch(/all checksums and digests match/);
    weightpress('compress', 'tiny', '-o', `${name}-lossless.wpk`);
    expect(readFileSync(at(`${name}-lossless.wpk`))).toEqual(readFileSync(at('esm.wpk')));
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
