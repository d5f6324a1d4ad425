import { describe, expect, it } from 'vitest';
import { grids } from '../src/wasm/compiled/grids.js';
import { indices } from '../src/wasm/compiled/indices.js';
import { lossless } from '../src/wasm/compiled/lossless.js';
import { quantize } from '../src/wasm/compiled/quantize.js';
import * as constants from '../src/wasm/constants.js';
import { addressOf, layOutBuffers, loadKernels } from '../src/wasm/loader.js';
import { LosslessKernels } from '../src/wasm/lossless.js';

const modules = { grids, indices, lossless, quantize };

describe.each(Object.entries(modules))('kernels: %s', (_, module) => {
  it.each(Object.entries(constants))('are refused when they were built with another %s', (name, found) => {
    expect(() => loadKernels(module, { ...constants, [name]: found + 1 })).toThrow(
      `${name} is ${found}, expected ${found + 1}`,
    );
  });

  it('are refused when they do not export a constant', () => {
    expect(() => loadKernels(module, { ...constants, NEW_NAME: 1 })).toThrow('NEW_NAME is missing');
  });

  it('are refused when a buffer they work on is not laid out', () => {
    expect(() => layOutBuffers(loadKernels(module), {}, 0)).toThrow('no buffer for ');
  });

  it('have memory of their own in every instance', () => {
    expect(loadKernels(module).memory).not.toBe(loadKernels(module).memory);
  });
});

describe('buffers', () => {
  it('lie one after another above what the module uses itself, aligned, with room behind each', () => {
    const kernels = loadKernels(modules.quantize);
    const names = Object.entries(kernels).filter(
      ([name, value]) => value instanceof WebAssembly.Global && !(name in constants),
    );
    const sizes = Object.fromEntries(names.map(([name], i) => [name, [Uint16Array, 100_001 + i] as const]));
    const views = Object.entries(layOutBuffers(kernels, sizes, 40));
    expect(views.length).toBeGreaterThan(10);
    let end = kernels.heapBase();
    for (const [name, view] of views) {
      expect(view.byteOffset % 16).toBe(0);
      expect(view.byteOffset).toBeGreaterThanOrEqual(end);
      expect(view.length).toBe(sizes[name]![1]);
      expect((kernels as unknown as Record<string, WebAssembly.Global>)[name]!.value).toBe(view.byteOffset);
      end = view.byteOffset + view.byteLength + 40;
    }
    expect(kernels.memory.buffer.byteLength).toBeGreaterThanOrEqual(end);
  });

  it('are handed to kernels by their views, never by a view of other memory', () => {
    const kernels = new LosslessKernels();
    const foreign = new Uint8Array(64);
    expect(() => kernels.startDecoding(foreign, 1, 1)).toThrow(RangeError);
    const split = { low: 7, zeros: 0, signed: false, tailBits: 0 };
    expect(() => kernels.mergeFloats(0, 8, 2, split, foreign, kernels.buffers.payload)).toThrow(RangeError);
    const call = loadKernels(modules.lossless);
    expect(addressOf(call, new Uint8Array(call.memory.buffer, 4096, 16))).toBe(4096);
  });
});
