import type { Graph } from './graph.js';
import type { Feeds, Runtime, Session } from './runtime.js';

/** Graphs with their weights. For a runtime that cannot hold weights, there is one session per graph, which receives them with each run. */
export class BoundSessions {
  private readonly sessions: Session[] = [];
  private readonly byGraph = new Map<Graph, Session>();
  /** The last session created; runtimes require that sessions are created one after another. */
  private last: Promise<unknown> = Promise.resolve();

  constructor(private readonly runtime: Runtime) {}

  /** Adds a graph. @returns a function that runs it. */
  add(graph: Graph, weights: Feeds): Promise<(feeds: Feeds) => Promise<Feeds>> {
    const adding = this.last.then(() => this.make(graph, weights));
    this.last = adding.catch(() => {});
    return adding;
  }

  async release(): Promise<void> {
    await this.last;
    await Promise.all(this.sessions.map((session) => session.release()));
  }

  private async make(graph: Graph, weights: Feeds) {
    const { runtime, byGraph } = this;
    if (runtime.hold) {
      const session = await runtime.hold(graph, weights);
      this.sessions.push(session);
      return (feeds: Feeds) => session.run(feeds);
    }
    const session = byGraph.get(graph) ?? (await runtime.session(graph.encode()));
    if (!byGraph.has(graph)) this.sessions.push(session);
    byGraph.set(graph, session);
    return (feeds: Feeds) => session.run({ ...weights, ...feeds });
  }
}
