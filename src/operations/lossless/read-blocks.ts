import { type Block, blocksOf } from '../../codecs/lossless/block.js';
import { type ByteSource, readInto } from '../../core/byte-source.js';
import { DTYPE_BYTES } from '../../core/dtype.js';
import type { StoredTensor } from '../../models/safetensors/header.js';
import type { BlockPool } from '../../wpk/block-pool.js';

export interface ReadBlock {
  /** In a buffer of the pool, with room for the block's frame. */
  readonly bytes: Uint8Array;
  readonly block: Block;
}

/** Reads the blocks of a tensor in order; reads the next block while the caller processes one. */
export async function* readBlocks(
  source: ByteSource,
  tensor: StoredTensor,
  pool: BlockPool,
): AsyncGenerator<ReadBlock> {
  let { start } = tensor;
  const begin = (block: Block): Promise<ReadBlock> => {
    const bytes = pool.take(block.count * DTYPE_BYTES[tensor.dtype]);
    const done = readInto(source, bytes, start).then(() => ({ bytes, block }));
    done.catch(() => {}); // awaited later
    start += bytes.length;
    return done;
  };
  let ahead: Promise<ReadBlock> | undefined;
  for (const block of blocksOf(tensor.dtype, tensor.shape)) {
    const current = ahead;
    ahead = begin(block);
    if (current) yield await current;
  }
  if (ahead) yield await ahead;
}
