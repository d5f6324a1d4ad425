import * as shared from './constants.js';

/** The exports that every module in assembly/ has, besides its functions, its buffers' addresses and constants.ts (both globals). */
export interface KernelExports {
  readonly memory: { readonly buffer: ArrayBuffer; grow(pages: number): number };
  /** Returns the lowest address that buffers may use. */
  heapBase(): number;
}

/** A constructor of typed arrays. */
interface Element {
  readonly BYTES_PER_ELEMENT: number;
  new (memory: ArrayBuffer, address: number, length: number): ArrayBufferView;
}

/** Element type and length of each buffer, by name. */
export type BufferSizes = Readonly<Record<string, readonly [element: Element, length: number]>>;

/** Views of a module's memory, by buffer name. */
export type Buffers<Sizes extends BufferSizes> = {
  readonly [Name in keyof Sizes]: InstanceType<Sizes[Name][0]>;
};

const PAGE_BYTES = 65536;
const ALIGNMENT = 16;

const compiled = new Map<string, WebAssembly.Module>();

/**
 * Instantiates a module of compiled/. Each module is compiled once per thread.
 * @throws {Error} when its constants differ from `constants`.
 */
export function loadKernels<Exports extends KernelExports>(
  base64: string,
  constants: Readonly<Record<string, number>> = shared,
): Exports {
  let module = compiled.get(base64);
  if (!module) {
    module = new WebAssembly.Module(Uint8Array.from(atob(base64), (character) => character.charCodeAt(0)));
    compiled.set(base64, module);
  }
  const { exports } = new WebAssembly.Instance(module);
  for (const [name, expected] of Object.entries(constants)) {
    const exported = exports[name];
    const found = exported instanceof WebAssembly.Global ? exported.value : 'missing';
    if (found !== expected)
      throw new Error(`WebAssembly kernels: ${name} is ${found}, expected ${expected}; run npm run build`);
  }
  return exports as unknown as Exports;
}

/**
 * Lays out buffers one after another, 16-byte aligned, with `slackBytes` of padding after each, and grows the memory to hold them.
 * Sets the module's global of the same name to a buffer's address; only TypeScript uses a buffer without a global.
 * @returns views, valid until the memory grows again.
 * @throws {Error} when the module has a global that is neither a buffer nor a constant.
 */
export function layOutBuffers<Sizes extends BufferSizes>(
  kernels: KernelExports,
  sizes: Sizes,
  slackBytes: number,
): Buffers<Sizes> {
  const addresses: Record<string, number> = {};
  let end = kernels.heapBase();
  for (const [name, [element, length]] of Object.entries(sizes)) {
    const address = Math.ceil(end / ALIGNMENT) * ALIGNMENT;
    addresses[name] = address;
    end = address + length * element.BYTES_PER_ELEMENT + slackBytes;
  }
  const missing = end - kernels.memory.buffer.byteLength;
  if (missing > 0) kernels.memory.grow(Math.ceil(missing / PAGE_BYTES));
  for (const [name, global] of Object.entries(kernels))
    if (global instanceof WebAssembly.Global && !(name in shared)) {
      if (!(name in addresses)) throw new Error(`WebAssembly kernels: no buffer for ${name}`);
      global.value = addresses[name];
    }
  return Object.fromEntries(
    Object.entries(sizes).map(([name, [View, length]]) => [
      name,
      new View(kernels.memory.buffer, addresses[name]!, length),
    ]),
  ) as unknown as Buffers<Sizes>;
}

/**
 * Returns the address of a view's first byte, for a kernel.
 * @throws {RangeError} for a view of any other memory.
 */
export function addressOf({ memory }: KernelExports, view: Uint8Array): number {
  if (view.buffer !== memory.buffer) throw new RangeError("a view of memory that is not the kernels' own");
  return view.byteOffset;
}
