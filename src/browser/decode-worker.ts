import type { PlannedBlock } from '../container/plan.js';
import { type DecoderSide, decodeFrame } from '../container/reader.js';
import { isInputError } from '../errors.js';

/** A block to decode; the frame's memory is handed over. */
export interface DecodeRequest {
  readonly id: number;
  readonly frame: Uint8Array;
  readonly planned: PlannedBlock;
  readonly tensor: { readonly name: string; readonly codec: string };
  readonly side: DecoderSide;
  readonly file: string;
}

export type DecodeAnswer =
  | { readonly id: number; readonly elements: Uint8Array }
  | { readonly id: number; readonly message: string; readonly input: boolean };

/** The part of a worker's global scope that is used. */
interface Scope {
  onmessage: ((event: { readonly data: DecodeRequest }) => void) | null;
  postMessage(answer: DecodeAnswer, transfer?: ArrayBuffer[]): void;
}

const scope = globalThis as unknown as Scope;

scope.onmessage = ({ data: { id, frame, planned, tensor, side, file } }) => {
  try {
    const elements = decodeFrame(frame, planned, tensor, side, file).slice();
    scope.postMessage({ id, elements }, [elements.buffer as ArrayBuffer]);
  } catch (error) {
    // classes do not survive the way between threads; the message says everything
    const message = error instanceof Error ? error.message : String(error);
    scope.postMessage({ id, message, input: isInputError(error) });
  }
};
