import type { FlowProducer, Queue, QueueEvents, Worker, WorkerOptions } from 'bullmq';
import type { Outage } from './outage.js';

/** A connection to the server of a queue. Everything that is made of it shares its sockets and ends with it. */
export interface QueueConnection {
  /** Address without user and password. */
  readonly name: string;
  readonly outage: Outage;
  /** Number of finished jobs that the server remembers. */
  readonly remembered: { readonly age: number; readonly count?: number };
  /** Makes what reads and writes a queue. */
  queue(name: string): Queue;
  /** Makes what adds jobs as children of a job. */
  flows(): FlowProducer;
  /** Makes what takes jobs when it is asked to. */
  taker(name: string, options: Partial<WorkerOptions>): Worker;
  /** Makes what reports events of a queue, from now on. */
  events(name: string): QueueEvents;
  /** Returns the server's clock, in milliseconds since 1970: the clocks of machines differ. */
  now(): Promise<number>;
  /** Ends all sockets, at once where the server does not answer. */
  close(): Promise<void>;
}

/** Maximum time for a server to answer the first question. */
export const ANSWER_MS = 5000;
/** Time after which a silent connection is asked whether it lives. */
export const KEEP_ALIVE_MS = 10_000;
/** Seconds for which a server remembers finished jobs. */
export const REMEMBERED_SECONDS = 3600;
