import { InputError } from '../core/errors.js';

/** Packages that a user installs to share work, by what an address names. */
export const PACKAGES = {
  redis: { name: 'Redis', install: 'npm install bullmq ioredis' },
  postgres: { name: 'PostgreSQL', install: 'npm install bullmq pg' },
} as const;

/**
 * Loads an optional package. Its name is a variable, so neither the compiler nor a bundler looks for it.
 * @throws {InputError} when it is not installed.
 */
export async function loadPackage<T>(name: string, server: keyof typeof PACKAGES): Promise<T> {
  try {
    return await import(name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error;
    const { name: serverName, install } = PACKAGES[server];
    throw new InputError(
      `a queue on ${serverName} needs the package ${name}, which is not installed: ${install}`,
      {},
      { cause: error },
    );
  }
}
