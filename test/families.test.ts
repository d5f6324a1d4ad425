// Every model type that can be run, compared with the reference implementation.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FAMILIES as DESCRIPTIONS } from '../src/architectures/registry.js';
import { Decoder } from '../src/inference/decoder.js';
import type { buildProgram } from '../src/inference/program.js';
import { loadRuntime } from '../src/onnx/node/runtime.js';
import { FAMILIES, RUNNABLE } from './helpers/fixtures.js';
import { expectedOf, largestDifference, logitsOf } from './helpers/logits.js';
import { MemoryModel } from './helpers/memory-model.js';

const nodeRuntime = await loadRuntime();
const model = (memory: MemoryModel) => memory as unknown as Parameters<typeof buildProgram>[0];
const json = (...path: string[]) => JSON.parse(readFileSync(join(FAMILIES, ...path), 'utf8'));
const has = (name: string, file: string) => existsSync(join(FAMILIES, name, file));

/** A missing bias, another activation, window, rotation or multiplier moves some logit by at least 1e-2. */
const TOLERANCE = 1e-3;

describe('logits of the reference implementation', () => {
  it.each(RUNNABLE)('%s', async (name) => {
    const { inputs, logits } = expectedOf(name, FAMILIES);
    const memory = await MemoryModel.of(join(FAMILIES, name));
    expect(largestDifference(await logitsOf(memory, inputs), logits)).toBeLessThan(TOLERANCE);
    if (!has(name, 'config-4.json')) return;
    memory.config = json(name, 'config-4.json');
    const older = await logitsOf(memory, inputs);
    expect(largestDifference(older, logits), 'config of transformers 4').toBeLessThan(TOLERANCE);
  });
});

const CAUSAL = RUNNABLE.filter((name) => 'greedy' in json(name, 'expected.json'));

describe('32 greedy tokens of the reference implementation, with a cache', () => {
  it.each(CAUSAL)('%s', async (name) => {
    const { input_ids: inputs, greedy } = json(name, 'expected.json');
    const decoder = await Decoder.load(nodeRuntime, model(await MemoryModel.of(join(FAMILIES, name))));
    const tokens: number[] = [];
    let logits = await decoder.read(inputs[0].slice(0, 8));
    // keys in a cache keep the rotation of a shorter sequence; the reference's tokens are without a cache
    const count = name === 'llama_dynamic' ? 14 : greedy.length;
    for (let i = 0; i < count; i++) {
      tokens.push(logits.indexOf(Math.max(...logits)));
      logits = await decoder.read([tokens[i]!]);
    }
    await decoder.release();
    expect(tokens).toEqual(greedy.slice(0, count));
  });
});

/** Older names of types that have another. */
const ALIASES = ['stablelm_epoch', 'RefinedWeb', 'RefinedWebModel'];

it('docs/families.md lists the model types that run, and the README their number', () => {
  const types = DESCRIPTIONS.flatMap(({ modelTypes }) => modelTypes).filter(
    (type) => !ALIASES.includes(type),
  );
  const table = readFileSync('docs/families.md', 'utf8')
    .split('\n')
    .filter((line) => /^\| (decoders|mixtures|encoders)/.test(line));
  const listed = table.flatMap((line) => line.split('|')[2]!.trim().split(', '));
  expect(listed.sort()).toEqual(types.sort());
  const readme = readFileSync('README.md', 'utf8');
  expect(readme).toContain(`${types.length} model types`);
  expect(readme).toContain(`Logits of ${RUNNABLE.length} tiny models`);
});
