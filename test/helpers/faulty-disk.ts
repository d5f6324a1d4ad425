import { mkdirSync, readdirSync, readFileSync, readlinkSync, symlinkSync, writeFileSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { disk, WRITE_BUFFER } from '../../src/io/node/disk.js';

// Small models are written by many operations, as large ones are.
WRITE_BUFFER.bytes = 64;

// A layer under everything that writes, as SQLite's tests have it: the n-th operation fails; or every operation is noted, and what a
// power cut after the n-th would leave is worked out: of files what was synced, of folders the names that were.

type Name = keyof typeof disk;
type Call = (...args: never[]) => Promise<unknown>;
const REAL: Readonly<Record<Name, Call>> = { ...disk };
const NAMES = Object.keys(REAL) as Name[];

/** What fails for want of room; the rest goes on. */
const TAKES_ROOM: ReadonlySet<Name> = new Set([
  'create',
  'clone',
  'write',
  'truncate',
  'sync',
  'link',
  'symlink',
  'makeFolder',
]);

export interface Faulted {
  /** Operations that were asked for. */
  readonly operations: number;
  /** That which failed first. */
  readonly failed: Name | undefined;
  readonly error: unknown;
}

/**
 * Runs `work` while the n-th operation, counted from 0, fails with EIO; with ENOSPC it and all later ones that take room fail, as on a
 * disk that is full.
 */
export async function withFault(
  n: number,
  code: 'EIO' | 'ENOSPC',
  work: () => Promise<unknown>,
): Promise<Faulted> {
  let operations = 0;
  let failed: Name | undefined;
  const under =
    (name: Name) =>
    async (...args: never[]) => {
      const at = operations++;
      const fails = code === 'EIO' ? at === n : at >= n && TAKES_ROOM.has(name);
      if (!fails) return REAL[name](...args);
      failed ??= name;
      if (name === 'write') await writeHalf(...(args as unknown as [FileHandle, Uint8Array, number]));
      throw Object.assign(new Error(`${code}: injected, ${name}`), { code, syscall: name });
    };
  const error = await withLayer(under, work);
  return { operations, failed, error };
}

/** A write that fails may have written some. */
function writeHalf(handle: FileHandle, bytes: Uint8Array, position: number) {
  return REAL.write(...([handle, bytes.subarray(0, bytes.length >> 1), position] as never[]));
}

async function withLayer(under: (name: Name) => Call, work: () => Promise<unknown>): Promise<unknown> {
  for (const name of NAMES) Object.assign(disk, { [name]: under(name) });
  try {
    await work();
    return undefined;
  } catch (error) {
    return error;
  } finally {
    Object.assign(disk, REAL);
  }
}

interface File {
  readonly kind: 'file';
  bytes: Buffer;
  synced: Buffer;
}
interface Link {
  readonly kind: 'link';
  readonly target: string;
}
interface Folder {
  readonly kind: 'folder';
  entries: Map<string, Node>;
  synced: Map<string, Node>;
}
type Node = File | Link | Folder;

/** What of that which was not synced is there after a power cut. */
export interface Loss {
  /** Names that folders were not synced with. */
  readonly names: 'survive' | 'lost';
  /** Bytes that files were not synced with: gone, or the first half there and zeros behind it. */
  readonly bytes: 'lost' | 'torn';
}
export const LOSSES: readonly Loss[] = [
  { names: 'survive', bytes: 'lost' },
  { names: 'survive', bytes: 'torn' },
  { names: 'lost', bytes: 'lost' },
  { names: 'lost', bytes: 'torn' },
];

/** Files by their paths below the folder; of folders without anything in them `path/`, of links `-> target`. */
export type Tree = ReadonlyMap<string, Buffer | string>;

/** Everything that `work` does to a folder. */
export class Recording {
  private readonly steps: ((root: Folder) => void)[] = [];
  private readonly names: Name[] = [];
  error: unknown;

  private constructor(
    private readonly folder: string,
    private readonly before: Tree,
  ) {}

  static async of(folder: string, work: () => Promise<unknown>): Promise<Recording> {
    const recording = new Recording(folder, readTree(folder));
    const paths = new Map<FileHandle, { node?: File }>();
    const under =
      (name: Name) =>
      async (...args: never[]) => {
        const bytes = name === 'write' ? Buffer.from(args[1] as unknown as Uint8Array) : undefined;
        const result = await REAL[name](...args);
        const step = recording.step(name, args, result, bytes, paths);
        recording.steps.push(step);
        recording.names.push(name);
        return result;
      };
    recording.error = await withLayer(under, work);
    return recording;
  }

  get operations(): number {
    return this.steps.length;
  }

  /** When each kind of operation was first done. */
  firstOfEachKind(): number[] {
    return [...new Set(this.names)].map((name) => this.names.indexOf(name));
  }

  /** What there is when the power goes after the first `n` operations. */
  cutAfter(n: number, loss: Loss): Tree {
    const root = planted(this.before);
    for (const step of this.steps.slice(0, n)) step(root);
    const tree = new Map<string, Buffer | string>();
    harvest(root, '', loss, tree);
    return tree;
  }

  private step(
    name: Name,
    args: readonly unknown[],
    result: unknown,
    bytes: Buffer | undefined,
    handles: Map<FileHandle, { node?: File }>,
  ): (root: Folder) => void {
    const [first, second, third] = args;
    const at = (path: unknown) => resolve(path as string).slice(resolve(this.folder).length + 1);
    const parent = (root: Folder, path: unknown) => find(root, dirname(at(path))) as Folder;
    const name_ = (path: unknown) => basename(at(path));
    if (name === 'create' || name === 'reopen') {
      const opened: { node?: File } = {};
      handles.set(result as FileHandle, opened);
      return (root) => {
        if (name === 'create')
          parent(root, first).entries.set(name_(first), {
            kind: 'file',
            bytes: Buffer.alloc(0),
            synced: Buffer.alloc(0),
          });
        opened.node = find(root, at(first)) as File;
      };
    }
    if (name === 'write' || name === 'truncate' || name === 'sync') {
      const opened = handles.get(first as FileHandle)!;
      return () => {
        const node = opened.node!;
        if (name === 'sync') node.synced = node.bytes;
        else if (name === 'truncate') node.bytes = resized(node.bytes, second as number);
        else {
          const [position, count] = [third as number, result as number];
          node.bytes = Buffer.from(resized(node.bytes, Math.max(node.bytes.length, position + count)));
          bytes!.copy(node.bytes, position, 0, count);
        }
      };
    }
    const CHANGES: Partial<Record<Name, (root: Folder) => void>> = {
      clone: (root) => {
        const { bytes: copied } = find(root, at(first)) as File;
        parent(root, second).entries.set(name_(second), {
          kind: 'file',
          bytes: copied,
          synced: Buffer.alloc(0),
        });
      },
      rename: (root) => {
        const node = find(root, at(first))!;
        parent(root, first).entries.delete(name_(first));
        parent(root, second).entries.set(name_(second), node);
      },
      link: (root) => parent(root, second).entries.set(name_(second), find(root, at(first))!),
      symlink: (root) =>
        parent(root, second).entries.set(name_(second), { kind: 'link', target: first as string }),
      unlink: (root) => parent(root, first).entries.delete(name_(first)),
      removeTree: (root) => parent(root, first).entries.delete(name_(first)),
      removeFolder: (root) => parent(root, first).entries.delete(name_(first)),
      makeFolder: (root) =>
        parent(root, first).entries.set(name_(first), {
          kind: 'folder',
          entries: new Map(),
          synced: new Map(),
        }),
      syncFolder: (root) => {
        const node = find(root, at(first)) as Folder;
        node.synced = new Map(node.entries);
      },
    };
    return CHANGES[name]!;
  }
}

function resized(bytes: Buffer, length: number): Buffer {
  return length <= bytes.length
    ? bytes.subarray(0, length)
    : Buffer.concat([bytes, Buffer.alloc(length - bytes.length)]);
}

function find(root: Folder, path: string): Node | undefined {
  let node: Node | undefined = root;
  for (const part of path.split('/').filter((each) => each !== '' && each !== '.'))
    node = node?.kind === 'folder' ? node.entries.get(part) : undefined;
  return node;
}

/** What was there before is all synced. */
function planted(tree: Tree): Folder {
  const root: Folder = { kind: 'folder', entries: new Map(), synced: new Map() };
  const folderAt = (path: string): Folder => {
    if (path === '.') return root;
    const parent = folderAt(dirname(path));
    const there = parent.entries.get(basename(path));
    if (there) return there as Folder;
    const made: Folder = { kind: 'folder', entries: new Map(), synced: new Map() };
    parent.entries.set(basename(path), made);
    parent.synced.set(basename(path), made);
    return made;
  };
  for (const [path, content] of tree) {
    if (path.endsWith('/')) folderAt(path.slice(0, -1));
    else {
      const folder = folderAt(dirname(path));
      const node: Node =
        typeof content === 'string'
          ? { kind: 'link', target: content.slice(3) }
          : { kind: 'file', bytes: content, synced: content };
      folder.entries.set(basename(path), node);
      folder.synced.set(basename(path), node);
    }
  }
  return root;
}

function harvest(folder: Folder, path: string, loss: Loss, tree: Map<string, Buffer | string>): void {
  const entries = loss.names === 'survive' ? folder.entries : folder.synced;
  if (!entries.size && path) tree.set(`${path}/`, '');
  for (const [name, node] of entries) {
    const own = path ? `${path}/${name}` : name;
    if (node.kind === 'folder') harvest(node, own, loss, tree);
    else tree.set(own, node.kind === 'link' ? `-> ${node.target}` : left(node, loss));
  }
}

function left({ bytes, synced }: File, loss: Loss): Buffer {
  if (loss.bytes === 'lost' || bytes.equals(synced)) return synced;
  let same = 0;
  while (same < Math.min(bytes.length, synced.length) && bytes[same] === synced[same]) same++;
  const middle = (same + bytes.length) >> 1;
  return Buffer.concat([bytes.subarray(0, middle), Buffer.alloc(bytes.length - middle)]);
}

/** All that is in a folder. */
export function readTree(folder: string, path = ''): Map<string, Buffer | string> {
  const tree = new Map<string, Buffer | string>();
  const entries = readdirSync(join(folder, path), { withFileTypes: true });
  if (!entries.length && path) tree.set(`${path}/`, '');
  for (const entry of entries) {
    const own = path ? `${path}/${entry.name}` : entry.name;
    if (entry.isDirectory()) for (const each of readTree(folder, own)) tree.set(...each);
    else if (entry.isSymbolicLink()) tree.set(own, `-> ${readlinkSync(join(folder, own))}`);
    else tree.set(own, readFileSync(join(folder, own)));
  }
  return tree;
}

/** Puts a tree into an empty folder. */
export function writeTree(folder: string, tree: Tree): void {
  for (const [path, content] of tree) {
    const place = join(folder, path);
    mkdirSync(path.endsWith('/') ? place : dirname(place), { recursive: true });
    if (path.endsWith('/')) continue;
    if (typeof content === 'string') symlinkSync(content.slice(3), place);
    else writeFileSync(place, content);
  }
}
