import { type Block, blocksOf, encodeBlock } from '../../codecs/lossless/block.js';
import { DTYPE_BYTES } from '../../core/dtype.js';
import type { TensorInfo } from '../../core/model.js';
import { openStoredFile, type StoredFile } from '../../stores/content.js';
import { losslessKernels } from '../../wasm/lossless.js';
import { FRAME, frame } from '../../wpk/frames.js';
import type { Result } from '../results.js';
import type { Work } from '../workplace.js';

/** Blocks of a file's tensors to encode without loss, in the order of the file. */
export interface BlocksData {
  readonly file: StoredFile;
  readonly runs: readonly BlockRun[];
}

/** Neighboring blocks of one tensor. */
export interface BlockRun extends Pick<TensorInfo, 'dtype'> {
  readonly shape: readonly number[];
  /** Offset of the tensor in the file. */
  readonly start: number;
  /** Index of the first block, and of the one behind the last. */
  readonly range: readonly [first: number, end: number];
}

/** Encodes blocks. @returns their frames, one after another. */
export async function runBlocks({ file, runs }: BlocksData, work: Work): Promise<Result> {
  const { place, onProgress } = work;
  const source = await openStoredFile(place.store, file);
  const frames: Uint8Array[] = [];
  try {
    for (const [i, { dtype, shape, start, range }] of runs.entries()) {
      for (const block of blocksIn({ dtype, shape, range })) {
        const width = DTYPE_BYTES[dtype];
        const at = start + block.first * width;
        const bytes = await source.read(at, at + block.count * width);
        frames.push(frame(FRAME.block, encodeBlock(losslessKernels(), bytes, block)));
      }
      onProgress?.((i + 1) / runs.length);
    }
  } finally {
    await source.close();
  }
  return { header: { lengths: frames.map(({ length }) => length) }, arrays: [Buffer.concat(frames)] };
}

function blocksIn({ dtype, shape, range: [first, end] }: Omit<BlockRun, 'start'>): Block[] {
  return [...blocksOf(dtype, shape)].slice(first, end);
}
