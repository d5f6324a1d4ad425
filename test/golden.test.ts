import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { compress, open } from '../src/index.js';
import { folder } from './helpers/safetensors.js';

const EXAMPLE = fileURLToPath(new URL('../examples/gpt-neo-tiny', import.meta.url));

/**
 * The .wpk of the bundled model. It changes with the version, which is written in it; with anything else that changes
 * it, ask first whether files of the last release can still be read, and whether spec/wpk-v1.md tells of it.
 */
const SHA256 = 'ae5f8a9a818e638bfa412ccc116027785418f2d21af943144fe748ee56cecf35';

it.each([1, 2, 4])(
  'the bundled model becomes the same file, byte for byte, with %i threads',
  async (threads) => {
    const path = join(folder(), 'gpt-neo-tiny'); // a copy: nothing else in its folder, and the name is in the file
    mkdirSync(path);
    for (const name of readdirSync(EXAMPLE).filter((name) => !name.includes('.wpk')))
      copyFileSync(join(EXAMPLE, name), join(path, name));
    const output = join(folder(), 'out.wpk');
    const model = await open(path);
    await compress(model, output, { threads });
    await model.close();
    expect(createHash('sha256').update(readFileSync(output)).digest('hex')).toBe(SHA256);
  },
);
