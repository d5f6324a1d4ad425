import { defineConfig } from 'vitest/config';

// Tests use what is built, as a user would: `npm test` builds first.
export default defineConfig({ test: { include: ['test/**/*.test.ts'], testTimeout: 120_000, pool: 'forks', maxWorkers: 2 } });
