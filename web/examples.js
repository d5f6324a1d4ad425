// Makes the example models while the development server runs already, or before a build.
import { spawn } from 'node:child_process';
import { createReadStream, existsSync, mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

/** The examples, and how the built command line compresses them, the quickest first. */
const MODELS = {
  'tiny-lossless.wpk': [],
  'tiny.wpk': ['--bits', '3', '--calibration-tokens', '8192'],
};
/** The file that tells the page which examples there are; an empty string is one that is ready. */
const LIST = 'examples.json';

/** A plugin for Vite: examples in `folder`, those that are missing, or that this version does not read, made by child processes, one after another. */
export function examples(folder) {
  const states = Object.fromEntries(Object.keys(MODELS).map((name) => [name, 'is being made']));
  let made;
  const makeAll = () => {
    mkdirSync(folder, { recursive: true });
    made ??= Object.keys(MODELS).reduce(
      (before, name) =>
        before.then(async () => {
          states[name] = await make(join(folder, name), MODELS[name]);
        }),
      Promise.resolve(),
    );
    return made;
  };
  return {
    name: 'examples',
    config: () => void mkdirSync(folder, { recursive: true }), // Vite looks for the folder when it starts
    configureServer(server) {
      makeAll();
      server.middlewares.use((request, response, next) => {
        const name = new URL(request.url, 'http://localhost').pathname.slice(1);
        if (name === LIST) return response.setHeader('cache-control', 'no-store').end(JSON.stringify(states));
        if (states[name] !== '') return next();
        send(join(folder, name), request, response);
      });
    },
    async buildStart() {
      if (this.meta.watchMode || this.environment?.mode === 'dev') return;
      await makeAll();
      const failed = Object.entries(states).find(([, problem]) => problem);
      if (failed) this.error(`the example ${failed.join(' ')}`);
      this.emitFile({ type: 'asset', fileName: LIST, source: JSON.stringify(states) });
    },
  };
}

/** Makes an example unless there is one that this version reads. @returns what went wrong; nothing if it is there. */
async function make(path, flags) {
  if (existsSync(path) && (await run(['verify', path])) === '') return '';
  const problem = await run(['compress', here('../examples/gpt-neo-tiny'), '-o', path, '--force', ...flags]);
  return problem && `cannot be made: ${problem}`;
}

/** Runs the built command line. @returns what it says if it fails; nothing if it succeeds. */
function run(args) {
  return new Promise((resolve) => {
    const stdio = ['ignore', 'ignore', 'pipe'];
    const child = spawn(process.execPath, [here('../dist/cli/main.js'), ...args], { stdio });
    let said = '';
    child.stderr.on('data', (text) => {
      said = `${said}${text}`.slice(-500);
    });
    process.once('exit', () => child.kill());
    child.on('error', (error) => resolve(error.message));
    child.on('exit', (status) => resolve(status === 0 ? '' : said.trim() || `exit code ${status}`));
  });
}

/** Sends a file or a range of it: Vite's own server does not know files that came after its start. */
function send(path, request, response) {
  const total = statSync(path).size;
  const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
  const start = Number(from ?? 0);
  const end = Math.min(Number(to ?? total), total - 1);
  if (from !== undefined) {
    response.statusCode = 206;
    response.setHeader('content-range', `bytes ${start}-${end}/${total}`);
  }
  response.setHeader('content-type', 'application/octet-stream');
  response.setHeader('content-length', end - start + 1);
  createReadStream(path, { start, end }).pipe(response);
}
