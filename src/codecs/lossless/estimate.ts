import { DTYPE_BYTES, type Dtype } from '../../core/dtype.js';
import { losslessKernels } from '../../wasm/lossless.js';
import { encodeBlock } from './block.js';
import { EXPONENT_BITS } from './floats.js';

/** Entropies of a tensor, of order 0, in bits per element. */
export interface TensorStatistics {
  /** Entropy of the sign; undefined, as the next two, for integers and booleans. */
  readonly signBits: number | undefined;
  /** Entropy of the exponent. */
  readonly exponentBits: number | undefined;
  /** Entropy of the mantissa, given sign and exponent; its bits below the top 16 of an element count fully unless always zero. */
  readonly mantissaBits: number | undefined;
  /** `expectedBytes` * 8 / elements. */
  readonly bitsPerElement: number;
  /** Bytes of the tensor's frames in a lossless .wpk: exact, by coding the blocks. */
  readonly expectedBytes: number;
}

const FRAME_HEADER_BYTES = 16;
/** Exponent bits of the one-byte float types. */
const SMALL_FLOATS: Readonly<Partial<Record<Dtype, number>>> = { F8_E4M3: 4, F8_E5M2: 5 };

/** Measures one tensor from its blocks in order. */
export class TensorEstimate {
  private readonly kernels = losslessKernels();
  private readonly heads = new Float64Array(65536);
  private elements = 0;
  private bytes = 0;
  private seen = 0n;

  constructor(
    private readonly dtype: Dtype,
    private readonly shape: readonly number[],
  ) {}

  /** Adds the next block of `blocksOf`, whole elements. */
  add(block: Uint8Array): void {
    const width = DTYPE_BYTES[this.dtype];
    const count = block.length / width;
    const [rows, columns] = [this.shape.at(-2) ?? 1, this.shape.at(-1) ?? 1];
    this.bytes += FRAME_HEADER_BYTES;
    this.bytes += encodeBlock(this.kernels, block, {
      dtype: this.dtype,
      first: this.elements,
      rows,
      columns,
      count,
    }).length;
    this.elements += count;
    if (this.dtype in EXPONENT_BITS) {
      this.kernels.buffers.elements.set(block);
      const { heads, seen } = this.kernels.countHeads(count, width, 0);
      this.seen |= seen;
      for (let head = 0; head < heads.length; head++) this.heads[head]! += heads[head]!;
    } else if (this.dtype in SMALL_FLOATS) for (const byte of block) this.heads[byte << 8]! += 1;
  }

  finish(): TensorStatistics {
    const exponent = EXPONENT_BITS[this.dtype] ?? SMALL_FLOATS[this.dtype];
    const bitsPerElement = this.elements ? (this.bytes * 8) / this.elements : 0;
    if (exponent === undefined)
      return {
        signBits: undefined,
        exponentBits: undefined,
        mantissaBits: undefined,
        bitsPerElement,
        expectedBytes: this.bytes,
      };
    const sign = entropy(this.heads, (head) => head >> 15);
    const signExponent = entropy(this.heads, (head) => head >> (15 - exponent));
    const whole = entropy(this.heads, (head) => head);
    return {
      signBits: sign,
      exponentBits: signExponent - sign,
      mantissaBits: whole - signExponent + this.tailBits(),
      bitsPerElement,
      expectedBytes: this.bytes,
    };
  }

  /** Returns the number of bits below the head that are not always zero. */
  private tailBits(): number {
    const width = Math.max(0, DTYPE_BYTES[this.dtype] * 8 - 16);
    let bits = width;
    while (bits > 0 && !((this.seen >> BigInt(width - bits)) & 1n)) bits--;
    return bits;
  }
}

/** Returns the order-0 entropy, in bits, of the bins grouped by `group`. */
function entropy(bins: Float64Array, group: (bin: number) => number): number {
  const groups = new Map<number, number>();
  let total = 0;
  for (let bin = 0; bin < bins.length; bin++) {
    const n = bins[bin]!;
    if (!n) continue; // most bins of a small tensor are empty, and there may be many such tensors
    groups.set(group(bin), (groups.get(group(bin)) ?? 0) + n);
    total += n;
  }
  let bits = 0;
  for (const n of groups.values()) bits -= (n / total) * Math.log2(n / total);
  return bits;
}
