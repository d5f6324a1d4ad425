import { createHash } from 'node:crypto';
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { crc32 } from 'node:zlib';

// A server in front of which faults are put, and one behind it that speaks as much of S3's protocol as a store uses.

/** A request. */
export interface Asked {
  /** Name of the operation: `PutObject`. */
  readonly operation: string;
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** What goes wrong: an error instead of an answer; the connection breaks before or after it is done; a body is cut. */
export type Fault =
  | { readonly status: number; readonly code?: string; readonly message?: string }
  | 'reset'
  | 'lost'
  | { readonly cutAfter: number };

export interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string | number>>;
  readonly body?: Buffer | string;
}

const OPERATIONS: Readonly<Record<string, [query: string, operation: string][]>> = {
  GET: [
    ['list-type', 'ListObjectsV2'],
    ['uploads', 'ListMultipartUploads'],
    ['', 'GetObject'],
  ],
  HEAD: [['', 'HeadObject']],
  PUT: [
    ['uploadId', 'UploadPart'],
    ['', 'PutObject'],
  ],
  POST: [
    ['uploads', 'CreateMultipartUpload'],
    ['uploadId', 'CompleteMultipartUpload'],
  ],
  DELETE: [
    ['uploadId', 'AbortMultipartUpload'],
    ['', 'DeleteObject'],
  ],
};

function operationOf(method: string, url: string): string {
  const query = new URL(url, 'http://x').searchParams;
  return (
    OPERATIONS[method]?.find(([name]) => name === '' || query.has(name))?.[1] ?? `${method} of another kind`
  );
}

export const errorBody = (code: string, message = 'injected') =>
  `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>${message}</Message></Error>`;

/** Passes requests on, unless a fault is put in front of them. */
export class FaultyServer {
  readonly asked: Asked[] = [];
  fault: (asked: Asked) => Fault | undefined = () => undefined;
  endpoint = '';
  private server: Server | undefined;

  constructor(private readonly answer: (asked: Asked) => Answer | Promise<Answer>) {}

  async start(): Promise<this> {
    this.server = createServer(async (request, response) => {
      const chunks: Buffer[] = [];
      try {
        for await (const chunk of request) chunks.push(chunk);
      } catch {
        return; // the client is gone
      }
      const { method = '', url = '', headers } = request;
      const asked = {
        operation: operationOf(method, url),
        method,
        url,
        headers,
        body: Buffer.concat(chunks),
      };
      this.asked.push(asked);
      await this.respond(asked, response);
    });
    await new Promise<void>((resolve) => this.server!.listen(0, '127.0.0.1', resolve));
    this.endpoint = `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
    return this;
  }

  async stop(): Promise<void> {
    this.server!.closeAllConnections();
    await new Promise((resolve) => this.server!.close(resolve));
  }

  /** Forgets what was asked and breaks nothing any more. */
  reset(): void {
    this.asked.length = 0;
    this.fault = () => undefined;
  }

  /** How often an operation was asked for. */
  count(operation: string): number {
    return this.asked.filter((asked) => asked.operation === operation).length;
  }

  private async respond(asked: Asked, response: ServerResponse): Promise<void> {
    const fault = this.fault(asked);
    if (fault === 'reset') return void response.destroy();
    if (typeof fault === 'object' && 'status' in fault) {
      const { status, code, message } = fault;
      return send(response, { status, body: code === undefined ? '' : errorBody(code, message) }, asked);
    }
    const answer = await this.answer(asked);
    if (fault === 'lost') return void response.destroy();
    if (typeof fault !== 'object') return send(response, answer, asked);
    const body = Buffer.from(answer.body ?? '');
    response.writeHead(answer.status, { ...answer.headers, 'content-length': body.length });
    response.write(body.subarray(0, fault.cutAfter), () => response.destroy());
  }
}

function send(response: ServerResponse, { status, headers, body = '' }: Answer, { method }: Asked): void {
  response.writeHead(status, { 'content-length': Buffer.byteLength(body), ...headers });
  response.end(method === 'HEAD' ? undefined : body);
}

interface StoredObject {
  readonly bytes: Buffer;
  readonly metadata: Record<string, string>;
}

interface Upload {
  readonly key: string;
  readonly metadata: Record<string, string>;
  readonly parts: Map<number, Buffer>;
  readonly initiated: Date;
}

const refuse = (status: number, code: string, message?: string): Answer => ({
  status,
  body: errorBody(code, message),
});

/** A bucket in memory. */
export class S3Server extends FaultyServer {
  readonly objects = new Map<string, StoredObject>();
  readonly uploads = new Map<string, Upload>();
  /** Access keys, and what the server says to them instead of an answer. */
  readonly keys = new Map<string, string | undefined>();
  /** Whether `If-None-Match` counts. */
  isConditional = true;
  pageLength = 1000;
  private uploadCount = 0;

  constructor(readonly bucket: string) {
    super((asked) => this.answerTo(asked));
  }

  private answerTo(asked: Asked): Answer {
    const url = new URL(asked.url, 'http://x');
    const [, bucket, key = ''] = /^\/([^/]+)\/?(.*)$/.exec(decodeURIComponent(url.pathname)) ?? [];
    const accessKey = /Credential=([^/]+)/.exec(asked.headers.authorization ?? '')?.[1] ?? '';
    const complaint = this.keys.has(accessKey) ? this.keys.get(accessKey) : 'InvalidAccessKeyId';
    if (complaint !== undefined) return refuse(complaint === 'ExpiredToken' ? 400 : 403, complaint);
    if (bucket !== this.bucket) return refuse(404, 'NoSuchBucket');
    const sum = asked.headers['x-amz-checksum-crc32'];
    if (asked.body.length && asked.method === 'PUT' && sum !== crc32Of(asked.body))
      return refuse(400, 'BadDigest');
    return this.run(asked, key, url.searchParams);
  }

  private run(asked: Asked, key: string, query: URLSearchParams): Answer {
    const uploadId = query.get('uploadId') ?? '';
    const upload = this.uploads.get(uploadId);
    const isTaken = asked.headers['if-none-match'] === '*' && this.isConditional && this.objects.has(key);
    switch (asked.operation) {
      case 'PutObject':
        if (isTaken) return refuse(412, 'PreconditionFailed');
        this.objects.set(key, { bytes: asked.body, metadata: metadataOf(asked) });
        return { status: 200, headers: { etag: etagOf(asked.body) } };
      case 'HeadObject':
      case 'GetObject':
        return this.get(asked, key);
      case 'DeleteObject':
        this.objects.delete(key);
        return { status: 204 };
      case 'CreateMultipartUpload': {
        const id = `upload-${++this.uploadCount}`;
        this.uploads.set(id, { key, metadata: metadataOf(asked), parts: new Map(), initiated: new Date() });
        return { status: 200, body: xml('InitiateMultipartUploadResult', `<UploadId>${id}</UploadId>`) };
      }
      case 'UploadPart':
        if (!upload) return refuse(404, 'NoSuchUpload');
        upload.parts.set(Number(query.get('partNumber')), asked.body);
        return {
          status: 200,
          headers: { etag: etagOf(asked.body), 'x-amz-checksum-crc32': crc32Of(asked.body) },
        };
      case 'CompleteMultipartUpload': {
        if (!upload) return refuse(404, 'NoSuchUpload');
        if (isTaken) return refuse(412, 'PreconditionFailed');
        const numbers = [...asked.body.toString().matchAll(/<PartNumber>(\d+)</g)].map(([, n]) => Number(n));
        const bytes = Buffer.concat(numbers.map((n) => upload.parts.get(n)!));
        this.objects.set(key, { bytes, metadata: upload.metadata });
        this.uploads.delete(uploadId);
        return { status: 200, body: xml('CompleteMultipartUploadResult', '<ETag>"x"</ETag>') };
      }
      case 'AbortMultipartUpload':
        return this.uploads.delete(uploadId) ? { status: 204 } : refuse(404, 'NoSuchUpload');
      case 'ListMultipartUploads':
        return {
          status: 200,
          body: xml('ListMultipartUploadsResult', [...this.uploads].map(uploadXml).join('')),
        };
      case 'ListObjectsV2':
        return this.list(query);
      default:
        return refuse(501, 'NotImplemented');
    }
  }

  private get({ headers }: Asked, key: string): Answer {
    const there = this.objects.get(key);
    if (!there) return refuse(404, 'NoSuchKey');
    const { bytes, metadata } = there;
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? '') ?? [];
    if (first === undefined)
      return { status: 200, headers: { 'content-length': bytes.length, ...metadata }, body: bytes };
    if (Number(first) >= bytes.length) return refuse(416, 'InvalidRange');
    const body = bytes.subarray(Number(first), Number(last) + 1);
    const end = Number(first) + body.length - 1;
    const range = { 'content-range': `bytes ${first}-${end}/${bytes.length}` };
    return { status: 206, headers: { ...range, ...metadata }, body };
  }

  private list(query: URLSearchParams): Answer {
    const after = query.get('continuation-token') ?? '';
    const keys = [...this.objects.keys()]
      .filter((key) => key.startsWith(query.get('prefix') ?? '') && key > after)
      .sort();
    const page = keys.slice(0, this.pageLength);
    const entries = page.map(
      (key) => `<Contents><Key>${key}</Key><Size>${this.objects.get(key)!.bytes.length}</Size></Contents>`,
    );
    const isLast = page.length === keys.length;
    const more = isLast ? '' : `<NextContinuationToken>${page.at(-1)}</NextContinuationToken>`;
    return {
      status: 200,
      body: xml('ListBucketResult', `<IsTruncated>${!isLast}</IsTruncated>${more}${entries.join('')}`),
    };
  }
}

const xml = (name: string, content: string) =>
  `<?xml version="1.0" encoding="UTF-8"?><${name}>${content}</${name}>`;
const uploadXml = ([id, { key, initiated }]: [string, Upload]) =>
  `<Upload><Key>${key}</Key><UploadId>${id}</UploadId><Initiated>${initiated.toISOString()}</Initiated></Upload>`;
const etagOf = (bytes: Buffer) => `"${createHash('md5').update(bytes).digest('hex')}"`;

function crc32Of(bytes: Buffer): string {
  const sum = Buffer.alloc(4);
  sum.writeUInt32BE(crc32(bytes));
  return sum.toString('base64');
}

function metadataOf({ headers }: Asked): Record<string, string> {
  const entries = Object.entries(headers).filter(([name]) => name.startsWith('x-amz-meta-'));
  return Object.fromEntries(entries.map(([name, value]) => [name, String(value)]));
}
