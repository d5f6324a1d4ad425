/** A value that has not arrived yet. */
export class Arriving<Value> {
  resolve!: (value: Value) => void;
  reject!: (error: unknown) => void;
  readonly value = new Promise<Value>((resolve, reject) => {
    this.resolve = resolve;
    this.reject = reject;
  });

  constructor() {
    this.value.catch(() => {}); // awaited later, or not at all when another fails
  }
}
