import { isInputError } from '../core/errors.js';
import type { PlannedBlock } from '../wpk/plan.js';
import { type DecoderSide, decodeFrame } from '../wpk/reader.js';

/** A block to decode. Both buffers are handed over and come back. */
export interface DecodeRequest {
  readonly id: number;
  /** The frame is at its front. */
  readonly frame: ArrayBuffer;
  readonly frameBytes: number;
  /** Takes the elements. */
  readonly into: ArrayBuffer;
  readonly planned: PlannedBlock;
  readonly tensor: { readonly name: string; readonly codec: string };
  readonly side: DecoderSide;
  readonly file: string;
}

export type DecodeAnswer = Pick<DecodeRequest, 'id' | 'frame' | 'into'> & {
  /** What is wrong with the frame, and whether that is the file's fault. */
  readonly problem?: { readonly message: string; readonly input: boolean };
};

/** The first message: the module is there. */
export type Ready = 'ready';

/** The part of a worker's global scope that is used. */
interface Scope {
  onmessage: ((event: { readonly data: DecodeRequest }) => void) | null;
  postMessage(answer: DecodeAnswer | Ready, transfer?: ArrayBuffer[]): void;
}

const scope = globalThis as unknown as Scope;

scope.onmessage = ({ data: { id, frame, frameBytes, into, planned, tensor, side, file } }) => {
  const answer = { id, frame, into };
  try {
    const elements = decodeFrame(new Uint8Array(frame, 0, frameBytes), planned, tensor, side, file);
    new Uint8Array(into).set(elements);
    scope.postMessage(answer, [frame, into]);
  } catch (error) {
    // classes do not survive the way between threads; the message says everything
    const message = error instanceof Error ? error.message : String(error);
    scope.postMessage({ ...answer, problem: { message, input: isInputError(error) } }, [frame, into]);
  }
};

scope.postMessage('ready');
