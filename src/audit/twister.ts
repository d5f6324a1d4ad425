const SIZE = 624;
const SHIFT = 397;

/** The Mersenne Twister MT19937 (Matsumoto and Nishimura 1998), the generator of NumPy, Python and PyTorch. */
export class Twister {
  private readonly state: Uint32Array;
  private next = SIZE;

  private constructor(state: Uint32Array) {
    this.state = state;
  }

  /** Seeds with `init_genrand`, as NumPy's `seed(n)` and PyTorch's `manual_seed(n)`. */
  static fromNumber(seed: number): Twister {
    const state = new Uint32Array(SIZE);
    state[0] = seed;
    for (let i = 1; i < SIZE; i++) {
      const last = state[i - 1]! ^ (state[i - 1]! >>> 30);
      state[i] = Math.imul(1812433253, last) + i;
    }
    return new Twister(state);
  }

  /** Seeds with `init_by_array` of one word, as Python's `random.seed(n)`. */
  static fromWord(seed: number): Twister {
    const { state } = Twister.fromNumber(19650218);
    const mixed = (i: number, factor: number) =>
      state[i]! ^ Math.imul(state[i - 1]! ^ (state[i - 1]! >>> 30), factor);
    let i = 1;
    const advance = () => {
      i++;
      if (i < SIZE) return;
      state[0] = state[SIZE - 1]!;
      i = 1;
    };
    for (let k = 0; k < SIZE; k++) {
      state[i] = mixed(i, 1664525) + seed;
      advance();
    }
    for (let k = 0; k < SIZE - 1; k++) {
      state[i] = mixed(i, 1566083941) - i;
      advance();
    }
    state[0] = 0x80000000;
    return new Twister(state);
  }

  /** Returns 32 random bits. */
  word(): number {
    if (this.next === SIZE) this.twist();
    let y = this.state[this.next++]!;
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  /** Returns a number in [0, 1) with 53 random bits. */
  double(): number {
    const high = this.word() >>> 5;
    return (high * 67108864 + (this.word() >>> 6)) / 9007199254740992;
  }

  private twist(): void {
    const { state } = this;
    for (let i = 0; i < SIZE; i++) {
      const y = (state[i]! & 0x80000000) | (state[(i + 1) % SIZE]! & 0x7fffffff);
      state[i] = state[(i + SHIFT) % SIZE]! ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    this.next = 0;
  }
}
