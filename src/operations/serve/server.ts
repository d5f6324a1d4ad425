import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { InputError } from '../../core/errors.js';

/** Limits on what clients may take. */
export interface Limits {
  /** Open connections; more are refused. */
  readonly connections: number;
  /** Time for the headers of a request, and for all of it. */
  readonly headersMs: number;
  readonly requestMs: number;
  /** Time without a byte in either direction; Node waits up to twice as long while there is something to send. */
  readonly idleMs: number;
  /** Time that a connection stays open between two requests. */
  readonly keepAliveMs: number;
  /** Bytes of all headers of a request. */
  readonly headerBytes: number;
}

export const LIMITS: Limits = {
  connections: 512,
  headersMs: 10_000,
  requestMs: 30_000,
  idleMs: 60_000,
  keepAliveMs: 15_000,
  headerBytes: 2 ** 14,
};

/** A server that listens. */
export interface Listening {
  readonly server: Server;
  readonly port: number;
  /** Takes no more connections, and cuts those that are still in use after a time. */
  close(graceMs: number): Promise<void>;
}

/** Starts a server. @throws {InputError} when it cannot listen there. */
export async function listen(
  { host, port }: { readonly host: string; readonly port: number },
  answer: (request: IncomingMessage, response: ServerResponse) => void,
  limits: Limits = LIMITS,
): Promise<Listening> {
  const server = createServer(
    {
      headersTimeout: limits.headersMs,
      requestTimeout: limits.requestMs,
      keepAliveTimeout: limits.keepAliveMs,
      connectionsCheckingInterval: Math.min(1000, limits.headersMs),
      maxHeaderSize: limits.headerBytes,
    },
    (request, response) => {
      response.shouldKeepAlive &&= server.listening;
      response.on('close', () => {
        if (!server.listening) setImmediate(() => server.closeIdleConnections());
      });
      answer(request, response);
    },
  );
  server.maxConnections = limits.connections;
  server.timeout = limits.idleMs;
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(listenError(error, host, port)));
    server.listen(port, host, resolve);
  });
  const close = async (graceMs: number) => {
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeIdleConnections();
    const timer = setTimeout(() => server.closeAllConnections(), graceMs);
    await closed;
    clearTimeout(timer);
  };
  return { server, port: (server.address() as AddressInfo).port, close };
}

const LISTEN_ERRORS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'the port is in use',
  EADDRNOTAVAIL: 'this machine does not have that address',
  ENOTFOUND: 'no such host',
  EACCES: 'the port needs more rights',
};

function listenError(error: NodeJS.ErrnoException, host: string, port: number): unknown {
  const what = LISTEN_ERRORS[error.code ?? ''];
  return what ? new InputError(`${host}:${port}: ${what}`, undefined, { cause: error }) : error;
}
