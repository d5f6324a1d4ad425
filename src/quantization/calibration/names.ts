import type { Binding } from '../../inference/program.js';

/** The checkpoint's name of what fills a graph's input. */
export function nameOf(bindings: readonly Binding[], weight: string): string {
  return bindings.find(({ input }) => input === weight)!.tensor.name;
}
