import { text } from '../formats.js';

// What the fuzzer has to find, to see that it would: each input breaks another promise.

let held;

const FAULTS = {
  throws: () => {
    throw new TypeError('not an error of the input');
  },
  rejects: () => {
    Promise.reject(new TypeError('nobody waits for it'));
  },
  hangs: () => {
    for (;;);
  },
  waits: () => new Promise(() => {}),
  grows: () => {
    held = new Uint8Array(350e6).fill(1);
    return held;
  },
  dies: () => process.abort(),
};

export const faultyKind = {
  make: (_, number) => ({ fault: text(Object.keys(FAULTS)[number] ?? 'none') }),
  check: async (files) => {
    held = undefined;
    await FAULTS[Buffer.from(files.fault).toString()]?.();
  },
};
