import type { Statistics, StatisticsSink, TensorMoments } from './statistics.js';

/** Statistics of a small model, in memory. */
export class MemoryStatistics implements Statistics, StatisticsSink {
  private readonly found = new Map<string, TensorMoments[]>();

  constructor(readonly tokens: number) {}

  async add(tensor: string, statistics: TensorMoments): Promise<void> {
    this.found.set(tensor, [...(this.found.get(tensor) ?? []), statistics]);
  }

  async tensor(name: string): Promise<readonly TensorMoments[]> {
    return this.found.get(name) ?? [];
  }
}
