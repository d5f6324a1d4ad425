import { resolve } from 'node:path';
import { defineConfig } from 'vitest/config';

/**
 * Tests name modules of src/, and run them as they are built in dist/, like threads and child processes; `npm test` builds first.
 * Node loads what is built in a third of the time that it takes to transform the sources for each test.
 */
const builtFiles = {
  name: 'built-files',
  enforce: 'pre',
  resolveId(source, importer) {
    const [, name] = /^[./]+\/src\/(.*)$/.exec(source) ?? [];
    return name && importer ? resolve('dist', name) : undefined;
  },
};

export default defineConfig({
  plugins: [builtFiles],
  test: {
    include: ['test/**/*.test.ts'],
    setupFiles: ['test/helpers/equal-bytes.ts'],
    reporters: ['default', './scripts/skipped-reporter.js'],
    // `npm test` runs all but these, `npm run test:slow` these.
    tags: [{ name: 'slow', description: 'takes seconds', timeout: 600_000 }],
    testTimeout: 120_000,
    hookTimeout: 60_000,
    server: { deps: { external: [/\/dist\//] } },
    pool: 'forks',
    execArgv: ['--enable-source-maps'],
    maxWorkers: 2,
  },
});
