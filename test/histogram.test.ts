import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Histogram } from '../src/browser/distribution.js';
import { histogramOf } from '../src/browser/histogram.js';
import { type BrowserModel, open } from '../src/browser/open.js';
import { toFloats } from '../src/core/floats.js';
import { weightpress } from './helpers/cli.js';
import { FIXTURES } from './helpers/fixtures.js';
import { folder } from './helpers/safetensors.js';

const place = folder();
let lossy: BrowserModel;
let lossless: BrowserModel;

beforeAll(async () => {
  const made = async (name: string, ...flags: string[]) => {
    const path = join(place, name);
    expect(weightpress('compress', join(FIXTURES, 'gpt_neo'), '-o', path, ...flags).stderr).toBe('');
    return open(new Blob([readFileSync(path)]));
  };
  lossy = await made('lossy.wpk', '--bits', '3', '--no-calibration');
  lossless = await made('lossless.wpk');
}, 60_000);

async function weightsOf(model: BrowserModel, name: string): Promise<Float32Array> {
  const tensor = model.tensors.find((found) => found.name === name)!;
  return toFloats(model, tensor, await model.readTensor(name));
}

const total = ({ counts, beyond }: Histogram) => counts.reduce((a, b) => a + b, beyond);

describe('a histogram', () => {
  it.each(['transformer.h.1.mlp.c_fc.weight', 'transformer.wte.weight'])(
    'of levels: %s, as many below, at and above zero as weights',
    async (name) => {
      const histogram = (await histogramOf(lossy.container, name))!;
      const weights = await weightsOf(lossy, name);
      expect(histogram).toMatchObject({ unit: 'steps', width: 1 });
      expect(total(histogram)).toBe(weights.length);
      expect(histogram.counts[-histogram.first]).toBe(weights.filter((weight) => weight === 0).length);
      const below = histogram.counts.slice(0, -histogram.first).reduce((a, b) => a + b, 0);
      expect(Math.abs(below - weights.filter((weight) => weight < 0).length)).toBeLessThanOrEqual(
        histogram.beyond,
      );
    },
  );

  it('of levels: both quantizers are there, the finer the step the farther', async () => {
    const { counts, first } = (await histogramOf(lossy.container, 'transformer.h.1.mlp.c_fc.weight'))!;
    const odd = counts.filter((_, i) => (first + i) % 2 !== 0).reduce((a, b) => a + b, 0);
    const even = counts.reduce((a, b) => a + b, 0) - odd;
    expect(odd / even).toBeGreaterThan(0.3);
    expect(odd / even).toBeLessThan(1.5);
    const embedding = (await histogramOf(lossy.container, 'transformer.wte.weight'))!;
    expect(embedding.counts.length).toBeGreaterThan(5);
  });

  it('of weights: counted one by one', async () => {
    for (const name of ['transformer.h.0.mlp.c_fc.weight', 'transformer.ln_f.weight']) {
      const histogram = (await histogramOf(lossless.container, name))!;
      const { first, width, counts } = histogram;
      const weights = await weightsOf(lossless, name);
      expect(histogram.unit).toBe('weights');
      expect(total(histogram)).toBe(weights.length);
      counts.forEach((count, i) => {
        expect(count).toBe(weights.filter((weight) => Math.round((weight - first) / width) === i).length);
      });
    }
  });

  it('of an unknown tensor: refused in words', async () => {
    await expect(histogramOf(lossy.container, 'nothing')).rejects.toThrow(/no such tensor/);
  });
});
