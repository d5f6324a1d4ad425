import { faultyKind } from './faulty.js';
import { ggufKind } from './gguf.js';
import { hubKind } from './hub.js';
import { jsonKind } from './json.js';
import { onnxKind } from './onnx.js';
import { pickleKind } from './pickle.js';
import { safetensorsKind } from './safetensors.js';
import { wpkKind } from './wpk.js';
import { zipKind } from './zip.js';

/**
 * By what --only takes: how an input is made of random numbers, files by their names, and what has to be true of it.
 * `make(random, number)`, `check(files, place)`: `place` is an empty folder that it may use.
 */
export const KINDS = {
  wpk: wpkKind,
  safetensors: safetensorsKind,
  gguf: ggufKind,
  pickle: pickleKind,
  zip: zipKind,
  json: jsonKind,
  hub: hubKind,
  onnx: onnxKind,
};

/** How often each is tried: what takes longer less often. */
const SHARES = { wpk: 5, gguf: 3, pickle: 3, zip: 3, safetensors: 2, json: 1, hub: 1, onnx: 2 };

/** One round of inputs. */
export const ROUND = Object.entries(SHARES).flatMap(([kind, share]) => Array(share).fill(kind));

/** Not one of those: what shows that faults are found. */
export const ALL_KINDS = { ...KINDS, faulty: faultyKind };
