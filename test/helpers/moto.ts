import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { request } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { setS3Environment } from './environment.js';
import { type Answer, type Asked, FaultyServer } from './s3-server.js';

// moto, a server that speaks S3: `pip install 'moto[s3]' flask flask-cors`.

/** The program, if there is one: `MOTO_SERVER`, or on the path. */
export const MOTO = [process.env.MOTO_SERVER, 'moto_server'].find((path) => {
  return path && spawnSync(path, ['--help']).status === 0;
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}

/** moto behind a server in which faults can be put. */
export class MotoServer extends FaultyServer {
  private child: ChildProcess | undefined;
  private port = 0;
  private last: Promise<unknown> = Promise.resolve();

  constructor() {
    super((asked) => this.pass(asked));
  }

  /** Starts moto with an empty bucket. */
  async startWith(bucket: string): Promise<this> {
    this.port = await freePort();
    this.child = spawn(MOTO!, ['-H', '127.0.0.1', '-p', String(this.port)], { stdio: 'ignore' });
    const make = { operation: '', method: 'PUT', url: `/${bucket}`, headers: {}, body: Buffer.alloc(0) };
    for (;;) {
      if (this.child.exitCode !== null) throw new Error('moto does not start');
      const made = await this.forward(make).catch(() => undefined);
      if (made?.status === 200) return this.start();
      await setTimeout(50);
    }
  }

  /** Starts moto with an empty bucket, which this process then finds in its environment. @returns what restores the environment. */
  async useWith(bucket: string): Promise<() => void> {
    await this.startWith(bucket);
    return setS3Environment({
      AWS_ENDPOINT_URL: this.endpoint,
      AWS_ACCESS_KEY_ID: 'key-of-moto',
      AWS_SECRET_ACCESS_KEY: 'secret-of-moto',
    });
  }

  override async stop(): Promise<void> {
    await super.stop();
    const ended = once(this.child!, 'close');
    this.child!.kill();
    await ended;
  }

  /** Passes requests on one after another: moto looks whether there is an object, and then writes it, and does not lock it meanwhile. */
  private pass(asked: Asked): Promise<Answer> {
    const answer = this.last.then(() => this.forward(asked));
    this.last = answer.catch(() => {});
    return answer;
  }

  private forward({ method, url, headers, body }: Asked): Promise<Answer> {
    const { expect: _, connection: __, ...passed } = headers;
    return new Promise((resolve, reject) => {
      const asking = request({
        host: '127.0.0.1',
        port: this.port,
        method,
        path: url,
        headers: passed,
        agent: false,
      });
      asking.on('error', reject);
      asking.on('response', async (response) => {
        const chunks: Buffer[] = [];
        for await (const chunk of response) chunks.push(chunk);
        const { connection: ___, 'transfer-encoding': ____, ...answered } = response.headers;
        const status = response.statusCode!;
        resolve({ status, headers: answered as Record<string, string>, body: Buffer.concat(chunks) });
      });
      asking.end(body);
    });
  }
}
