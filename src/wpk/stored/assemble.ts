import type { ByteSource } from '../../core/byte-source.js';
import { concatenate } from '../../core/bytes.js';
import { InputError } from '../../core/errors.js';
import type { StoredTensor } from '../../models/safetensors/header.js';
import type { WeightFormat, WeightSource } from '../../models/stored-model.js';
import { HEADER_LIMIT_BYTES, MAX_DIMENSIONS } from '../directory.js';
import { measureElements } from './guess.js';
import { UNPARSED } from './role.js';

/** Longer gaps between tensors are coded like tensors, block by block, so that they are not held in memory. */
const MAX_GAP_BYTES = 2 ** 20;

/** A parsed weight file. */
export interface Parsed {
  readonly name: string;
  readonly format: WeightFormat;
  readonly note?: string;
  /** Tensors with their positions in the file, in any order. */
  readonly tensors: readonly StoredTensor[];
  /** The file's first bytes, if already read. */
  readonly front?: Uint8Array;
}

/**
 * Divides all bytes of a file into tensors and the bytes between them, so that the same file can be restored.
 * @throws {InputError} for tensors that overlap or have the same name, and for files over the limits of spec/wpk-v1.md.
 */
export async function assemble(
  { tensors, front, ...file }: Parsed,
  source: ByteSource,
): Promise<WeightSource> {
  const sorted = [...tensors].sort((a, b) => a.start - b.start || a.end - b.end);
  const all: StoredTensor[] = [];
  let covered = 0;
  for (const tensor of [...sorted, undefined]) {
    const next = tensor?.start ?? source.byteLength;
    if (next < covered)
      throw new InputError('overlaps the tensor before it', {
        file: source.name,
        ...(tensor && { tensor: tensor.name }),
      });
    if (next - covered > MAX_GAP_BYTES) all.push(await unparsed(source, covered, next));
    if (tensor) all.push(tensor);
    covered = Math.max(covered, tensor?.end ?? next);
  }
  const deep = tensors.find(({ shape }) => shape.length > MAX_DIMENSIONS);
  if (deep)
    throw new InputError(`${deep.shape.length} dimensions are over the limit of ${MAX_DIMENSIONS}`, {
      file: source.name,
      tensor: deep.name,
    });
  const duplicate = firstDuplicate(all.map(({ name }) => name));
  if (duplicate !== undefined)
    throw new InputError('duplicate name', { file: source.name, tensor: duplicate });
  const known = front && { start: 0, end: front.length, bytes: front };
  return { ...file, source, tensors: all, ...(await readBetween(source, all, known)) };
}

/** Makes bytes `start` to `end` one tensor, with the element type that compresses best. Bytes outside of whole elements stay between tensors. */
async function unparsed(source: ByteSource, start: number, end: number): Promise<StoredTensor> {
  const { dtype, width, phase } = await measureElements(source, start, end);
  const count = Math.floor((end - start - phase) / width);
  const place = { start: start + phase, end: start + phase + count * width };
  const name = `bytes ${place.start}-${place.end}`;
  return { name, dtype, shape: [count], lengthBytes: count * width, role: UNPARSED, ...place };
}

function firstDuplicate(names: readonly string[]): string | undefined {
  const seen = new Set<string>();
  return names.find((name) => seen.size === seen.add(name).size);
}

interface Known {
  readonly start: number;
  readonly end: number;
  readonly bytes: Uint8Array;
}

async function readBetween(source: ByteSource, tensors: readonly StoredTensor[], known: Known | undefined) {
  const edges = [0, ...tensors.flatMap(({ start, end }) => [start, end]), source.byteLength];
  const between: number[] = [];
  const parts: Uint8Array[] = [];
  let total = 0;
  for (let i = 0; i < edges.length; i += 2) {
    const [start, end] = [edges[i]!, edges[i + 1]!];
    total += end - start;
    if (total > HEADER_LIMIT_BYTES)
      throw new InputError(`has over ${HEADER_LIMIT_BYTES} bytes that no tensor holds`, {
        file: source.name,
      });
    between.push(end - start);
    if (end === start) continue;
    const isKnown = known?.start === start && known.end === end;
    parts.push(isKnown ? known.bytes : await source.read(start, end));
  }
  const isInFront = between.slice(1).every((length) => length === 0);
  return { headerBytes: concatenate(parts), ...(!isInFront && { between }) };
}
