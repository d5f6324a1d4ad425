import { isInputError } from '../core/errors.js';
import type { PlannedBlock } from '../wpk/plan.js';
import { type DecoderSide, decodeFrame } from '../wpk/reader.js';

/** A block to decode. Both buffers are transferred, and returned with the answer. */
export interface DecodeRequest {
  readonly id: number;
  /** Buffer that starts with the frame. */
  readonly frame: ArrayBuffer;
  readonly frameBytes: number;
  /** Buffer for the elements. */
  readonly into: ArrayBuffer;
  readonly planned: PlannedBlock;
  readonly tensor: { readonly name: string; readonly codec: string };
  readonly side: DecoderSide;
  readonly file: string;
}

export type DecodeAnswer = Pick<DecodeRequest, 'id' | 'frame' | 'into'> & {
  /** Error message, and whether it is an InputError. */
  readonly problem?: { readonly message: string; readonly input: boolean };
};

/** The first message, sent when the module is loaded. */
export type Ready = 'ready';

/** The part of a worker's global scope that is used here. */
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
    // error classes are lost between threads
    const message = error instanceof Error ? error.message : String(error);
    scope.postMessage({ ...answer, problem: { message, input: isInputError(error) } }, [frame, into]);
  }
};

scope.postMessage('ready');
