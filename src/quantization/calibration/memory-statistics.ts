import type { Statistics, StatisticsSink, TensorStatistics } from './statistics.js';

/** Statistics of a small model, in memory. */
export class MemoryStatistics implements Statistics, StatisticsSink {
  private readonly found = new Map<string, TensorStatistics[]>();

  constructor(readonly tokens: number) {}

  async add(tensor: string, statistics: TensorStatistics): Promise<void> {
    this.found.set(tensor, [...(this.found.get(tensor) ?? []), statistics]);
  }

  async tensor(name: string): Promise<readonly TensorStatistics[]> {
    return this.found.get(name) ?? [];
  }
}
