import type { IncomingMessage, ServerResponse } from 'node:http';
import { isInputError } from '../../core/errors.js';
import type { Counts } from './metrics.js';
import { replyTo, type Served } from './protocol.js';
import { type Reply, refusal } from './reply.js';
import { send } from './send.js';

/** A request and what became of it. */
export interface AnsweredRequest {
  /** The address of the client. */
  readonly client: string;
  /** `GET`, as a rule. */
  readonly method: string;
  /** Path and query, as they were sent. */
  readonly target: string;
  /** The status of the answer. */
  readonly status: number;
  /** Bytes of the body that were sent. */
  readonly sentBytes: number;
  /** Time from the headers to the last byte. */
  readonly seconds: number;
  /** False when the connection ended before all was sent. */
  readonly isComplete: boolean;
}

/** Who is told what happens to requests. */
export interface Observers {
  readonly counts: Counts;
  readonly onRequest: (request: AnsweredRequest) => void;
  readonly onProblem: (message: string) => void;
}

/** Answers a request, whatever happens, and reports it. */
export async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  served: Served,
  { counts, onRequest, onProblem }: Observers,
): Promise<void> {
  const started = performance.now();
  const { method = '', url: target = '', socket } = request;
  const client = socket.remoteAddress ?? '';
  let sentBytes = 0;
  response.on('close', () => {
    counts.add(response.statusCode);
    onRequest({
      client,
      method,
      target,
      status: response.statusCode,
      sentBytes,
      seconds: (performance.now() - started) / 1000,
      isComplete: response.writableFinished,
    });
  });
  const onBytes = (count: number) => {
    sentBytes += count;
    counts.sentBytes += count;
  };
  try {
    const idleMs = socket.timeout ?? 0;
    socket.setTimeout(0); // making a file takes longer than a client may be silent
    const reply = await replyTo(
      { method, target, origin: originOf(request), headers: request.headers },
      served,
    );
    socket.setTimeout(idleMs);
    await send(response, reply, onBytes);
  } catch (error) {
    onProblem(isInputError(error) ? error.message : `unexpected: ${(error as Error).stack}`);
    if (!response.headersSent) await send(response, FAILURE, onBytes);
  }
}

/** Does not say what is wrong: that names paths of this machine, and is reported there. */
const FAILURE: Reply = refusal(500, 'the file cannot be read');

/** Returns the address that the client used, also behind a proxy that adds TLS. */
function originOf({ headers }: IncomingMessage): string {
  const host = /^[\w.:[\]-]+$/.exec(headers.host ?? '')?.[0] ?? 'localhost';
  return `${headers['x-forwarded-proto'] === 'https' ? 'https' : 'http'}://${host}`;
}
