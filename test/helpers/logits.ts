import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Model } from '../../src/core/model.js';
import { openProgram } from '../../src/inference/program.js';
import { Head, streamHidden } from '../../src/inference/stream.js';
import { loadRuntime } from '../../src/onnx/node/runtime.js';
import { FIXTURES } from './fixtures.js';

const nodeRuntime = await loadRuntime();

/** Logits [windows, length, vocabulary] of windows of one length, run layer by layer. */
export async function logitsOf(
  model: Pick<Model, 'tensors'>,
  windows: readonly ArrayLike<number>[],
): Promise<Float32Array> {
  const program = await openProgram(model as Model);
  const hidden = await streamHidden(nodeRuntime, program, windows);
  const head = await Head.load(nodeRuntime, program);
  const perWindow = hidden.length * head.vocabulary;
  const logits = new Float32Array(windows.length * perWindow);
  for (let i = 0; i < windows.length; i++)
    await head.logits(hidden.window(i), logits.subarray(i * perWindow, (i + 1) * perWindow));
  await head.release();
  return logits;
}

/** What the reference implementation computed for a fixture. */
export function expectedOf(name: string, folder = FIXTURES): { inputs: number[][]; logits: Float32Array } {
  const { input_ids: inputs } = JSON.parse(readFileSync(join(folder, name, 'expected.json'), 'utf8'));
  const bytes = readFileSync(join(folder, name, 'logits.f32'));
  return { inputs, logits: new Float32Array(Uint8Array.from(bytes).buffer) };
}

/** The largest absolute difference; infinite where lengths differ or a value is NaN. */
export function largestDifference(a: Float32Array, b: Float32Array): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  return a.reduce((largest, value, i) => {
    const difference = Math.abs(value - b[i]!);
    return Number.isNaN(difference) ? Number.POSITIVE_INFINITY : Math.max(largest, difference);
  }, 0);
}

/** Runs what must be refused, and gives the one line it is refused with. */
export async function refusalOf(run: () => unknown): Promise<string> {
  try {
    await run();
  } catch (error) {
    const { name, message } = error as Error;
    if (name !== 'InputError') throw error;
    if (/[\r\n]/.test(message)) throw new Error(`not one line: ${message}`);
    return message;
  }
  throw new Error('was accepted');
}
