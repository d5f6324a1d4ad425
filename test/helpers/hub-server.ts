import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

// A server that speaks as much of the Hub's protocol as clients use: what a revision is, what is in it, files with redirects to a
// storage of another origin for large ones, ranges, uploads by Git LFS. Faults are put in front of it, one function for all.

/** Bytes, or what stands for more of them than there is memory. */
export interface Content {
  readonly length: number;
  subarray(start: number, end: number): Uint8Array;
}

interface StoredFile {
  readonly bytes: Content;
  /** Its SHA-256, or its git object. */
  oid: string;
  /** Kept by LFS: redirected to the storage, listed with its SHA-256. */
  readonly large: boolean;
}

export interface HubRepository {
  commit: string;
  readonly files: Map<string, StoredFile>;
  /** Only with this token. */
  readonly token?: string;
  readonly gated?: boolean;
}

/** What was asked, and how many bytes of a file were sent. */
export interface Asked {
  readonly method: string;
  readonly url: string;
  readonly authorization: string | undefined;
  readonly range: string | undefined;
  sentBytes: number;
}

/** Answers instead of the server, and says so; or cuts what is sent after so many bytes. */
export type Fault = (asked: Asked, response: ServerResponse) => boolean | { readonly cutAfter: number };

export const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
const gitObject = (bytes: Uint8Array) =>
  createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex');
const oidOf = (bytes: Content, large: boolean) => {
  if (!(bytes instanceof Uint8Array)) return sha256(Buffer.from(String(bytes.length)));
  return large ? sha256(bytes) : gitObject(bytes);
};
const stored = (bytes: Content, large: boolean): StoredFile => ({ bytes, large, oid: oidOf(bytes, large) });
const LARGE = /\.(safetensors|bin|wpk|gguf)$/;

export class HubServer {
  readonly repositories = new Map<string, HubRepository>();
  readonly asked: Asked[] = [];
  fault: Fault = () => false;
  endpoint = '';
  private storage = '';
  private readonly servers: Server[] = [];
  private readonly uploads = new Map<string, Buffer>();

  static async start(): Promise<HubServer> {
    const hub = new HubServer();
    hub.endpoint = await hub.listen((request, response, body) => hub.answer(request, response, body));
    hub.storage = await hub.listen((request, response, body) => hub.store(request, response, body));
    return hub;
  }

  async stop(): Promise<void> {
    for (const server of this.servers) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  }

  /** A repository of these files. */
  add(name: string, files: Readonly<Record<string, Content | string>>, access: Partial<HubRepository> = {}) {
    const entries = Object.entries(files).map(([path, content]) => {
      const bytes = typeof content === 'string' ? Buffer.from(content) : content;
      const large = LARGE.test(path);
      return [path, stored(bytes, large)] as const;
    });
    const commit = sha256(Buffer.from(name + entries.length)).slice(0, 40);
    const repository = { commit, files: new Map(entries), ...access };
    this.repositories.set(name, repository);
    return repository;
  }

  /** Forgets what was asked and breaks nothing any more. */
  reset(): void {
    this.asked.length = 0;
    this.fault = () => false;
  }

  /** Of all answers, bodies of files alone. */
  get sentBytes(): number {
    return this.asked.reduce((sum, { sentBytes }) => sum + sentBytes, 0);
  }

  private async listen(
    answer: (asked: Asked, response: ServerResponse, body: Buffer) => void,
  ): Promise<string> {
    const server = createServer(async (request, response) => {
      const body = await wholeBody(request);
      const { method = '', url = '', headers } = request;
      const { authorization, range } = headers;
      const asked: Asked = { method, url, authorization, range, sentBytes: 0 };
      this.asked.push(asked);
      answer(asked, response, body);
    });
    this.servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  private answer(asked: Asked, response: ServerResponse, body: Buffer) {
    const fault = this.fault(asked, response);
    if (fault === true) return;
    const { method, authorization } = asked;
    const path = decodeURIComponent(asked.url.split('?')[0]!);
    const name = /^\/(?:api\/models\/)?([\w.-]+\/[\w.-]+?)(?:\.git)?(?:\/|$)/.exec(path)?.[1] ?? '';
    if (path === '/api/repos/create') return this.create(response, JSON.parse(body.toString()));
    const repository = this.repositories.get(name);
    if (!repository) return refuse(response, 401, 'RepoNotFound');
    if (repository.token !== undefined && authorization !== `Bearer ${repository.token}`)
      return repository.gated ? refuse(response, 403, 'GatedRepo') : refuse(response, 401, 'RepoNotFound');
    const [, revision = '', rest = ''] = /\/(?:revision|tree|resolve)\/([^/]+)\/?(.*)$/.exec(path) ?? [];
    if (revision && revision !== 'main' && revision !== repository.commit)
      return refuse(response, 404, 'RevisionNotFound');
    if (path.includes('/revision/'))
      return json(response, { _id: '0', id: name, sha: repository.commit, lastModified: '2026-01-01' });
    if (path.includes('/tree/')) return this.list(asked, response, repository);
    if (path.includes('/resolve/')) return this.resolve(asked, response, repository, rest, fault);
    if (method !== 'POST') return refuse(response, 404, 'EntryNotFound');
    if (path.includes('/preupload/')) return this.preupload(response, JSON.parse(body.toString()));
    if (path.endsWith('/info/lfs/objects/batch')) return this.batch(response, JSON.parse(body.toString()));
    return this.commit(response, name, repository, body);
  }

  /** Two a page, so that clients have to turn pages. */
  private list({ url }: Asked, response: ServerResponse, { files }: HubRepository) {
    const cursor = Number(new URL(url, this.endpoint).searchParams.get('cursor') ?? 0);
    const entries = [...files].map(([path, { bytes, large, oid }]) => ({
      type: 'file',
      path,
      size: bytes.length,
      oid: large ? '0'.repeat(40) : oid,
      ...(large && { lfs: { oid, size: bytes.length, pointerSize: 134 } }),
    }));
    entries.push({ type: 'directory', path: 'onnx', size: 0, oid: '0'.repeat(40) });
    if (cursor + 2 < entries.length)
      response.setHeader(
        'link',
        `<${this.endpoint}${url.split('&cursor')[0]}&cursor=${cursor + 2}>; rel="next"`,
      );
    json(response, entries.slice(cursor, cursor + 2));
  }

  private resolve(
    asked: Asked,
    response: ServerResponse,
    { commit, files }: HubRepository,
    path: string,
    fault: ReturnType<Fault>,
  ) {
    const file = files.get(path);
    if (!file) return refuse(response, 404, 'EntryNotFound');
    response.setHeader('x-repo-commit', commit);
    if (!file.large) return send(asked, response, file.bytes, fault);
    response.setHeader('x-linked-size', file.bytes.length);
    response.setHeader('x-linked-etag', `"${file.oid}"`);
    response.writeHead(302, { location: `${this.storage}/${file.oid}?signature=secret` });
    response.end();
  }

  private store(asked: Asked, response: ServerResponse, body: Buffer) {
    const fault = this.fault(asked, response);
    if (fault === true) return;
    const oid = asked.url.slice(1).split('?')[0]!;
    if (asked.method === 'PUT') {
      this.uploads.set(oid, body);
      response.end();
      return;
    }
    for (const { files } of this.repositories.values())
      for (const { bytes, oid: own } of files.values())
        if (own === oid) return send(asked, response, bytes, fault);
    refuse(response, 404, 'EntryNotFound');
  }

  private create(response: ServerResponse, { organization, name }: { organization: string; name: string }) {
    const id = `${organization}/${name}`;
    if (this.repositories.has(id)) return refuse(response, 409, 'RepoExists');
    this.add(id, {});
    json(response, { url: `${this.endpoint}/${id}`, id });
  }

  private preupload(response: ServerResponse, { files }: { files: { path: string }[] }) {
    json(response, {
      files: files.map(({ path }) => ({ path, uploadMode: LARGE.test(path) ? 'lfs' : 'regular' })),
    });
  }

  private batch(response: ServerResponse, { objects }: { objects: { oid: string; size: number }[] }) {
    json(response, {
      transfer: 'basic',
      objects: objects.map(({ oid, size }) => ({
        oid,
        size,
        actions: { upload: { href: `${this.storage}/${oid}` } },
      })),
    });
  }

  private commit(response: ServerResponse, name: string, repository: HubRepository, body: Buffer) {
    for (const line of body.toString().trim().split('\n')) {
      const { key, value } = JSON.parse(line);
      if (key === 'file')
        repository.files.set(value.path, stored(Buffer.from(value.content, 'base64'), false));
      if (key === 'lfsFile') repository.files.set(value.path, stored(this.uploads.get(value.oid)!, true));
    }
    repository.commit = sha256(body).slice(0, 40);
    json(response, {
      commitOid: repository.commit,
      commitUrl: `${this.endpoint}/${name}/commit/${repository.commit}`,
    });
  }
}

async function wholeBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function json(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(JSON.stringify(value));
}

function refuse(response: ServerResponse, status: number, code: string): void {
  response.writeHead(status, { 'x-error-code': code, 'content-type': 'application/json' });
  response.end(JSON.stringify({ error: code }));
}

/** All of a file or a range of it, whole or cut off. */
function send(asked: Asked, response: ServerResponse, bytes: Content, fault: ReturnType<Fault>): void {
  const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(asked.range ?? '') ?? [];
  const start = Number(from ?? 0);
  const end = to ? Math.min(bytes.length, Number(to) + 1) : bytes.length;
  const headers = {
    'content-length': end - start,
    ...(from !== undefined && { 'content-range': `bytes ${start}-${end - 1}/${bytes.length}` }),
  };
  response.writeHead(from === undefined ? 200 : 206, headers);
  const cut = typeof fault === 'object' ? Math.min(fault.cutAfter, end - start) : end - start;
  asked.sentBytes += cut;
  if (cut === end - start) response.end(bytes.subarray(start, end));
  else response.write(bytes.subarray(start, start + cut), () => response.destroy());
}
