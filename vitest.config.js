import { defineConfig } from 'vitest/config';

/**
 * Tests import src/, as it is written; threads and child processes run dist/, which `npm test` builds first. A module of
 * src/ that names a file beside it by `new URL('./x.js', import.meta.url)` means the built one.
 */
const builtFiles = {
  name: 'built-files',
  enforce: 'pre',
  transform(code, id) {
    const place = /^(.*)\/src\/(.*)\.ts$/.exec(id);
    if (!place || !code.includes('import.meta.url')) return;
    const [, root, name] = place;
    return code.replaceAll('import.meta.url', JSON.stringify(new URL(`file://${root}/dist/${name}.js`).href));
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
    pool: 'forks',
    maxWorkers: 2,
  },
});
