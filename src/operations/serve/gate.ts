/** Lets work run while its weight together is below a limit; the rest waits in order. Work above the limit runs alone. */
export class Gate {
  private used = 0;
  private readonly waiting: { readonly weight: number; readonly start: () => void }[] = [];

  constructor(private readonly limit: number) {}

  /** Returns whether work of this weight would start at once. */
  hasRoom(weight: number): boolean {
    return !this.waiting.length && this.fits(weight);
  }

  async run<Result>(weight: number, work: () => Promise<Result>): Promise<Result> {
    if (this.hasRoom(weight)) this.used += weight;
    else await new Promise<void>((start) => this.waiting.push({ weight, start }));
    try {
      return await work();
    } finally {
      this.used -= weight;
      this.startNext();
    }
  }

  private startNext(): void {
    for (let next = this.waiting[0]; next && this.fits(next.weight); next = this.waiting[0]) {
      this.waiting.shift();
      this.used += next.weight;
      next.start();
    }
  }

  private fits(weight: number): boolean {
    return this.used === 0 || this.used + weight <= this.limit;
  }
}
