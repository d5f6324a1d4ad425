import { createHash } from 'node:crypto';
import { checksum, losslessKernels } from '../../dist/wasm/lossless.js';
import { tensorsByFile } from '../../dist/wpk/directory.js';
import {
  deflate,
  FRAME,
  FRAME_HEADER_BYTES,
  fileHeader,
  frame,
  inflateJson,
  jsonPayload,
} from '../../dist/wpk/frames.js';
import { planTensor } from '../../dist/wpk/plan.js';
import { Container, decodeFrame } from '../../dist/wpk/reader.js';
import { joined, setUint } from './mutate.js';

// Parses a .wpk into frames and directory, and writes it with correct checksums.

const HEADER_BYTES = 16;
const TRAILER_BYTES = 48;

/** Returns the frames in order, each with the directory's list that it belongs to. */
export function parseWpk(bytes) {
  const frames = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = HEADER_BYTES; at < bytes.length - TRAILER_BYTES; ) {
    const end = at + FRAME_HEADER_BYTES + view.getUint32(at + 4, true);
    frames.push({ type: bytes[at], payload: bytes.slice(at + FRAME_HEADER_BYTES, end) });
    at = end;
  }
  const directory = JSON.parse(Buffer.from(inflateJson(frames.pop().payload, 'seed')).toString());
  const manifest = frames.shift();
  let next = 0;
  const own = (owner, kind, lengths) => {
    for (const _ of lengths) Object.assign(frames[next++], { owner, kind });
  };
  for (const kind of ['sideFiles', 'weightFiles'])
    for (const [i, file] of directory[kind].entries()) own(i, kind, file.frames);
  if (directory.tables) own(0, 'tables', [0]);
  for (const [i, tensor] of directory.tensors.entries()) own(i, 'tensors', tensor.frames ?? []);
  return {
    manifest: JSON.parse(Buffer.from(inflateJson(manifest.payload, 'seed')).toString()),
    frames,
    directory,
  };
}

export const cloneWpk = ({ manifest, frames, directory }) => ({
  manifest: structuredClone(manifest),
  frames: frames.map((one) => ({ ...one })),
  directory: structuredClone(directory),
});

const manifestFrame = (manifest) =>
  frame(FRAME.manifest, manifest instanceof Uint8Array ? manifest : jsonPayload(manifest));

/** Sets the offsets and lengths of the frames in the directory. */
export function layOut({ manifest, frames, directory }) {
  const lists = { sideFiles: [], weightFiles: [], tensors: [], tables: [] };
  const offsets = [];
  let at = HEADER_BYTES + manifestFrame(manifest).length;
  for (const { kind, owner, payload } of frames) {
    const length = FRAME_HEADER_BYTES + payload.length;
    lists[kind][owner] ??= [];
    lists[kind][owner].push(length);
    if (kind === 'tensors') offsets[owner] ??= at;
    at += length;
  }
  for (const kind of ['sideFiles', 'weightFiles', 'tensors'])
    directory[kind].forEach((entry, i) => {
      if (entry.sameAs === undefined) entry.frames = lists[kind][i] ?? [];
    });
  let next = Math.min(at, ...offsets.filter((offset) => offset !== undefined));
  directory.tensors.forEach((entry, i) => {
    if (entry.sameAs !== undefined) return;
    entry.offset = offsets[i] ?? next; // one without elements has no frames
    next = entry.offset + entry.frames.reduce((sum, length) => sum + length, 0);
  });
  if (lists.tables[0]) directory.tables = lists.tables[0][0];
  else delete directory.tables;
}

/** Writes a .wpk. `directory`: a value, or the payload of its frame. `said` replaces fields of the trailer. */
export function writeWpk({ manifest, frames, directory, said = {} }) {
  const front = joined(
    fileHeader(),
    manifestFrame(manifest),
    ...frames.map(({ type, payload }) => frame(type, payload)),
  );
  const last = frame(
    FRAME.directory,
    directory instanceof Uint8Array ? directory : deflate(Buffer.from(JSON.stringify(directory))),
  );
  const end = new Uint8Array(TRAILER_BYTES);
  const fields = {
    start: front.length,
    length: last.length,
    whole: front.length + last.length + TRAILER_BYTES,
    ...said,
  };
  for (const [i, field] of ['start', 'length', 'whole'].entries())
    setUint(end, 8 * i, 8, BigInt(fields[field]));
  setUint(end, 32, 8, checksum(end.subarray(0, 32)));
  end.set(Buffer.from('WPK\nEND\n'), 40);
  return joined(front, last, end);
}

/** Bytes as a source of the reader. */
export const memorySource = (bytes) => ({
  name: 'memory.wpk',
  byteLength: bytes.length,
  read: async (start, end) => bytes.slice(start, end),
  close: async () => {},
});

/**
 * Updates the digests of blocks, tensors and weight files to those of the changed payloads, so that they are valid.
 * @throws {InputError} when a payload does not decode.
 */
export async function repairDigests(wpk) {
  const container = await Container.open(memorySource(writeWpk(wpk)));
  for (const { file, tensors } of tensorsByFile(container.directory)) {
    const hash = createHash('sha256');
    const between = await container.header(file);
    for (const [i, bytes] of between.entries()) {
      hash.update(bytes);
      if (!tensors[i]) continue;
      const elements = await decodeTensor(container, tensors[i], wpk);
      hash.update(elements);
      const stated = wpk.directory.tensors[container.directory.tensors.indexOf(tensors[i])];
      if (stated.sameAs === undefined) stated.sha256 = sha256(elements);
    }
    wpk.directory.weightFiles[container.directory.weightFiles.indexOf(file)].sha256 = hash.digest('hex');
  }
}

export const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

async function decodeTensor(container, tensor, wpk) {
  const side = tensor.frames.length ? await container.readSide(tensor) : {};
  const index = tensor.sameAs ?? container.directory.tensors.indexOf(tensor);
  const frames = wpk.frames.filter(({ kind, owner }) => kind === 'tensors' && owner === index);
  const blocks = planTensor(tensor);
  const first = frames.length - blocks.length; // after the parameters
  return joined(...blocks.map((planned, i) => decodeBlock(frames[first + i], planned, tensor, side)));
}

function decodeBlock(one, planned, tensor, side) {
  const decode = () => decodeFrame(frame(one.type, one.payload), planned, tensor, side, 'memory').slice();
  try {
    return decode();
  } catch (error) {
    if (!/digest of the decoded/.test(error.message)) throw error;
    const { elements: decoded } = losslessKernels().buffers; // what was decoded is still there
    const elements = decoded.slice(0, planned.endByte - planned.firstByte);
    setUint(one.payload, 0, 8, checksum(elements));
    return decode();
  }
}
