import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Appender, disk, WRITE_BUFFER } from '../src/io/node/disk.js';
import { readAhead } from '../src/io/read-ahead.js';
import { CountingSource, folder } from './helpers/safetensors.js';

const LENGTHS = fc.array(fc.oneof(fc.nat(40), fc.nat(5000), fc.integer({ min: 100_000, max: 300_000 })), {
  maxLength: 30,
});

it('pieces of any lengths are one file, in order: 100 files, seed 6', async () => {
  const path = join(folder(), 'file');
  await fc.assert(
    fc.asyncProperty(LENGTHS, async (lengths) => {
      const handle = await open(path, 'w+');
      const appender = new Appender(handle, 0);
      const pieces = lengths.map((length, i) => new Uint8Array(length).fill(i + 1));
      for (const piece of pieces) {
        await appender.write(piece);
        piece.fill(0xee); // it was only lent
      }
      await appender.flush();
      await handle.close();
      const expected = Buffer.concat(lengths.map((length, i) => Buffer.alloc(length, i + 1)));
      expect(appender.length).toBe(expected.length);
      expect((await readFile(path)).equals(expected)).toBe(true);
    }),
    { seed: 6, numRuns: 100 },
  );
});

describe('a long file', () => {
  const usual = { ...WRITE_BUFFER };
  afterEach(() => {
    Object.assign(WRITE_BUFFER, usual);
    vi.restoreAllMocks();
  });

  /** Appends 2 MB in ten pieces. */
  async function appended() {
    WRITE_BUFFER.unsyncedBytes = 250_000;
    const handle = await open(join(folder(), 'file'), 'w+');
    const appender = new Appender(handle, 0);
    for (let i = 0; i < 10; i++) {
      await appender.write(new Uint8Array(200_000));
      await appender.settle();
    }
    return { handle, appender };
  }

  it('reaches the disk on the way', async () => {
    const sync = vi.spyOn(disk, 'sync');
    const { handle, appender } = await appended();
    expect(sync).toHaveBeenCalledTimes(5); // after every second piece
    await appender.sync();
    expect(sync).toHaveBeenCalledTimes(6);
    await handle.close();
  });

  it('is not whole when a sync on the way failed, although the last one does not', async () => {
    vi.spyOn(disk, 'sync').mockRejectedValueOnce(new Error('EIO'));
    WRITE_BUFFER.unsyncedBytes = 1000;
    const handle = await open(join(folder(), 'file'), 'w+');
    const appender = new Appender(handle, 0);
    await appender.write(new Uint8Array(200_000));
    await expect(appender.sync()).rejects.toThrow('EIO');
    await handle.close();
  });
});

it('small reads are served from few large ones, and are what the source has: seed 7', async () => {
  const bytes = Uint8Array.from({ length: 500_000 }, (_, i) => (i * 7) ^ (i >> 8));
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat(499_000), fc.nat(60_000)), { maxLength: 20 }),
      async (reads) => {
        const source = readAhead(new CountingSource('s', bytes, true));
        for (const [start, length] of reads) {
          const end = Math.min(bytes.length, start + length);
          expect(Buffer.compare(await source.read(start, end), bytes.subarray(start, end))).toBe(0);
        }
      },
    ),
    { seed: 7, numRuns: 100 },
  );
  const counted = new CountingSource('s', bytes, true);
  const source = readAhead(counted);
  for (let start = 0; start < bytes.length; start += 10) await source.read(start, start + 10);
  expect(counted.ranges.length).toBe(2);
});
