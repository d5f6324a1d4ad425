import type { Cache } from './cache.js';

/** What is counted of all requests. */
export class Counts {
  sentBytes = 0;
  refusedConnections = 0;
  readonly byStatus = new Map<number, number>();

  add(status: number): void {
    this.byStatus.set(status, (this.byStatus.get(status) ?? 0) + 1);
  }
}

type Sample = readonly [labels: string, value: number];

/** Writes counts in Prometheus's text format. */
export function metricsText(
  { sentBytes, refusedConnections, byStatus }: Counts,
  cache: Cache<unknown>,
  now: { readonly connections: number; readonly models: number },
): string {
  const metrics: readonly (readonly [
    name: string,
    type: 'counter' | 'gauge',
    help: string,
    samples: readonly Sample[],
  ])[] = [
    [
      'requests_total',
      'counter',
      'Requests that were answered, by status.',
      [...byStatus].map(([status, count]) => [`{status="${status}"}`, count]),
    ],
    ['sent_bytes_total', 'counter', 'Bytes of bodies.', [['', sentBytes]]],
    ['cache_hits_total', 'counter', 'Blocks that were in memory.', [['', cache.hits]]],
    ['cache_misses_total', 'counter', 'Blocks that were decoded.', [['', cache.misses]]],
    ['cache_bytes', 'gauge', 'Bytes of decoded blocks in memory.', [['', cache.size]]],
    ['connections', 'gauge', 'Open connections.', [['', now.connections]]],
    ['refused_connections_total', 'counter', 'Connections above the limit.', [['', refusedConnections]]],
    ['models', 'gauge', 'Names that models are served under.', [['', now.models]]],
    ['resident_memory_bytes', 'gauge', 'Memory of the process.', [['', process.memoryUsage.rss()]]],
  ];
  return metrics
    .map(([name, type, help, samples]) => {
      const full = `weightpress_${name}`;
      const lines = samples.map(([labels, value]) => `${full}${labels} ${value}\n`).join('');
      return `# HELP ${full} ${help}\n# TYPE ${full} ${type}\n${lines}`;
    })
    .join('');
}
