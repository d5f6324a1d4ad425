// The globals that Node and browsers share, as far as they are used: folders that run in both are compiled with these
// alone, so that one that only Node or only a page has does not compile.

declare global {
  interface EventOptions {
    readonly once?: boolean;
  }

  interface AbortSignal {
    readonly aborted: boolean;
    readonly reason: unknown;
    throwIfAborted(): void;
    addEventListener(type: 'abort', listener: () => void, options?: EventOptions): void;
    removeEventListener(type: 'abort', listener: () => void): void;
  }
  const AbortSignal: {
    any(signals: AbortSignal[]): AbortSignal;
    timeout(milliseconds: number): AbortSignal;
  };
  class AbortController {
    readonly signal: AbortSignal;
    abort(reason?: unknown): void;
  }

  class TextEncoder {
    encode(text?: string): Uint8Array<ArrayBuffer>;
    encodeInto(text: string, destination: Uint8Array): { read: number; written: number };
  }
  class TextDecoder {
    constructor(label?: string, options?: { fatal?: boolean; ignoreBOM?: boolean });
    decode(bytes?: ArrayBufferView | ArrayBuffer, options?: { stream?: boolean }): string;
  }
  function atob(base64: string): string;
  function btoa(binary: string): string;

  class URL {
    constructor(url: string | URL, base?: string | URL);
    static canParse(url: string, base?: string | URL): boolean;
    readonly hash: string;
    readonly host: string;
    readonly hostname: string;
    href: string;
    readonly origin: string;
    password: string;
    readonly pathname: string;
    readonly protocol: string;
    readonly search: string;
    username: string;
  }

  class Blob {
    constructor(parts?: (Uint8Array<ArrayBuffer> | Blob | string)[], options?: { type?: string });
    readonly size: number;
    readonly type: string;
    slice(start?: number, end?: number): Blob;
    arrayBuffer(): Promise<ArrayBuffer>;
    text(): Promise<string>;
  }

  interface ReadableStreamReader {
    read(): Promise<{ done: false; value: Uint8Array<ArrayBuffer> } | { done: true; value?: undefined }>;
    cancel(reason?: unknown): Promise<void>;
    releaseLock(): void;
  }
  interface ReadableStream {
    getReader(): ReadableStreamReader;
    cancel(reason?: unknown): Promise<void>;
  }
  class Headers {
    constructor(init?: Readonly<Record<string, string>> | Headers);
    get(name: string): string | null;
    set(name: string, value: string): void;
    delete(name: string): void;
    has(name: string): boolean;
  }
  type BodyInit = string | Uint8Array<ArrayBuffer> | Blob;
  interface RequestInit {
    method?: string;
    headers?: Readonly<Record<string, string>> | Headers;
    body?: BodyInit | null;
    redirect?: 'follow' | 'error' | 'manual';
    signal?: AbortSignal | null;
  }
  interface Response {
    readonly body: ReadableStream | null;
    readonly headers: Headers;
    readonly ok: boolean;
    readonly status: number;
    readonly statusText: string;
    readonly type: string;
    readonly url: string;
    arrayBuffer(): Promise<ArrayBuffer>;
    json(): Promise<unknown>;
    text(): Promise<string>;
  }
  function fetch(url: string | URL, init?: RequestInit): Promise<Response>;

  const performance: { now(): number };
  function setTimeout(run: () => void, milliseconds?: number): number;
  function clearTimeout(timer: number | undefined): void;
  const crypto: {
    getRandomValues<T extends ArrayBufferView>(array: T): T;
    /** Missing in pages that are not served over https. */
    readonly subtle?: { digest(algorithm: 'SHA-256', bytes: Uint8Array<ArrayBuffer>): Promise<ArrayBuffer> };
  };

  namespace WebAssembly {
    class Module {
      constructor(bytes: Uint8Array<ArrayBuffer>);
    }
    class Instance {
      constructor(module: Module, imports?: Readonly<Record<string, Readonly<Record<string, unknown>>>>);
      readonly exports: Readonly<Record<string, unknown>>;
    }
    class Memory {
      readonly buffer: ArrayBuffer;
      grow(pages: number): number;
    }
    class Global<T = unknown> {
      value: T;
    }
  }
}

export {};
