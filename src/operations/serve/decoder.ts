import { readInto } from '../../core/byte-source.js';
import type { BlockPool } from '../../wpk/block-pool.js';
import type { StoredFile, StoredTensorEntry } from '../../wpk/directory.js';
import { startBlockPool } from '../../wpk/node/block-threads.js';
import { checkFrameLength } from '../../wpk/node/decode.js';
import type { PlannedBlock } from '../../wpk/plan.js';
import { Cache, type Lease } from './cache.js';
import { Gate } from './gate.js';
import type { OpenWpk } from './open-wpk.js';

/** Maximum decoded bytes of all blocks that are being decoded. */
const MAX_PENDING_BYTES = 2 ** 25;

/** A block of a tensor, and where it is from. */
export interface TensorBlock {
  readonly wpk: OpenWpk;
  readonly tensor: StoredTensorEntry;
  readonly planned: PlannedBlock;
}

/** Decodes blocks on threads, and pieces of side files. Those used last stay in memory, so that nobody has to hold them. */
export class Decoder {
  readonly cache: Cache<Uint8Array>;
  private readonly pool: BlockPool;
  private readonly gate = new Gate(MAX_PENDING_BYTES);

  constructor(cacheBytes: number, threads?: number) {
    this.pool = startBlockPool(threads);
    this.cache = new Cache(cacheBytes, {
      sizeOf: ({ buffer }) => buffer.byteLength,
      dispose: (bytes) => this.pool.give(bytes),
    });
  }

  /** Number of blocks that keep all threads busy. */
  get depth(): number {
    return this.pool.depth;
  }

  /** Returns what `use` makes of a block's elements, which are valid only while it runs. @throws {IntegrityError} for damage. */
  async read<Result>(block: TensorBlock, use: (elements: Uint8Array) => Result): Promise<Result> {
    return used(await this.lease(block), use);
  }

  /** Starts decoding a block that will be needed, if threads are idle. An error comes when it is read. */
  prepare(block: TensorBlock): void {
    if (this.cache.has(keyOf(block)) || !this.gate.hasRoom(lengthOf(block))) return;
    this.lease(block).then(
      ({ release }) => release(),
      () => {},
    );
  }

  /** Does the same as {@link read} with a piece of a side file. */
  async readPiece<Result>(
    { key, container }: OpenWpk,
    file: StoredFile,
    index: number,
    use: (piece: Uint8Array) => Result,
  ): Promise<Result> {
    const pieceKey = `${key}/${file.name}/${index}`;
    return used(await this.cache.lease(pieceKey, () => container.readPiece(file, index)), use);
  }

  async close(): Promise<void> {
    this.cache.clear();
    await this.pool.close();
  }

  private lease(block: TensorBlock): Promise<Lease<Uint8Array>> {
    return this.cache.lease(keyOf(block), () => this.gate.run(lengthOf(block), () => this.decode(block)));
  }

  private async decode({ wpk: { container }, tensor, planned }: TensorBlock): Promise<Uint8Array> {
    const { source } = container;
    const { start, end, firstByte, endByte } = planned;
    checkFrameLength(planned, tensor, source.name);
    const side = await container.readSide(tensor);
    const bytes = this.pool.take(end - start, endByte - firstByte);
    await readInto(source, bytes, start);
    const { name, codec } = tensor;
    const withBase = await container.base.side(tensor, planned, side);
    const job = { bytes, planned, tensor: { name, codec }, side: withBase, file: source.name };
    const elements = await container.base.explained(tensor, this.pool.run('decode', job));
    if (elements.length > elements.buffer.byteLength / 2) return elements;
    const own = elements.slice();
    this.pool.give(elements);
    return own;
  }
}

/** Names a block by its frame: tensors with the same bytes share it. */
const keyOf = ({ wpk, planned }: TensorBlock) => `${wpk.key}/${planned.start}`;
const lengthOf = ({ planned }: TensorBlock) => planned.endByte - planned.firstByte;

function used<Value, Result>({ value, release }: Lease<Value>, use: (value: Value) => Result): Result {
  try {
    return use(value);
  } finally {
    release();
  }
}
