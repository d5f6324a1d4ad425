// rANS: four interleaved states of 32 bits, renormalized by words of 16 bits; symbol i belongs to state i % 4.
// docs/lossless.md, "Entropy coder". Modules differ in the number of frequency bits and in their decoder tables.
import { ENCODER_ENTRY_BYTES, STATES_BYTES } from '../constants';

/** States lie between this and 2^32. */
export const LOWEST_STATE: u32 = 1 << 16;

// The states between calls; loops copy them to local variables.
export let stateA: u32 = LOWEST_STATE, stateB: u32 = LOWEST_STATE, stateC: u32 = LOWEST_STATE, stateD: u32 = LOWEST_STATE;

/** Address of the next word to decode. */
export let input: usize = 0;

/** Address of the word encoded last; the stream grows downwards. */
export let output: usize = 0;

export function saveStates(a: u32, b: u32, c: u32, d: u32): void {
  stateA = a;
  stateB = b;
  stateC = c;
  stateD = d;
}

// ---- encoding --------------------------------------------------------------------------------------------------------

/**
 * Writes a symbol's entry: reciprocal u64, minimum state to renormalize u32, start u16, 2^scaleBits - frequency u16.
 * The reciprocal is ceil(2^(32 + scaleBits) / frequency), or 0 for a symbol that cannot be coded. States are below
 * 2^(32 - scaleBits) * frequency when they are divided, which makes the product less than 2^64 and
 * floor(x / frequency) exact. Frequencies are below 2^scaleBits: a table of one symbol has no stream.
 */
export function writeEntry(entry: usize, frequency: u32, start: u32, scaleBits: u32): void {
  store<u64>(entry, frequency ? (((<u64>1) << (32 + scaleBits)) + frequency - 1) / frequency : 0);
  store<u32>(entry, frequency << (32 - scaleBits), 8);
  store<u16>(entry, <u16>start, 12);
  store<u16>(entry, <u16>(((<u32>1) << scaleBits) - frequency), 14);
}

@inline
export function entryAt(table: usize, symbol: usize): usize {
  return table + symbol * ENCODER_ENTRY_BYTES;
}

/** Starts a stream, which is written from its end. */
export function startEncoding(): void {
  saveStates(LOWEST_STATE, LOWEST_STATE, LOWEST_STATE, LOWEST_STATE);
}

export function setOutput(end: usize): void {
  output = end;
}

/** Returns `state` with the symbol of `entry` encoded into it. */
@inline
export function put(state: u32, entry: usize, scaleBits: u32): u32 {
  // No branch, which would be mispredicted every few symbols: the word is always stored, and overwritten if not needed.
  const full = <u32>(state >= load<u32>(entry, 8));
  store<u16>(output - 2, <u16>state);
  output -= full << 1;
  state = select<u32>(state >> 16, state, full);
  const quotient = <u32>(((<u64>state) * load<u64>(entry)) >> (32 + scaleBits));
  return state + load<u16>(entry, 12) + quotient * load<u16>(entry, 14);
}

/** Writes the four states in front of the words; returns the start of the stream. */
export function finishEncoding(): usize {
  output -= STATES_BYTES;
  store<u32>(output, stateA);
  store<u32>(output, stateB, 4);
  store<u32>(output, stateC, 8);
  store<u32>(output, stateD, 12);
  return output;
}

// ---- decoding --------------------------------------------------------------------------------------------------------

export function startDecoding(stream: usize): void {
  saveStates(load<u32>(stream), load<u32>(stream, 4), load<u32>(stream, 8), load<u32>(stream, 12));
  input = stream + STATES_BYTES;
}

export function setInput(at: usize): void {
  input = at;
}

/** Returns `state` renormalized: shifts a word in when it is below LOWEST_STATE. */
@inline
export function refill(state: u32): u32 {
  const low = <u32>(state < LOWEST_STATE);
  const next = select<u32>((state << 16) | load<u16>(input), state, low);
  input += low << 1;
  return next;
}

export function stateOf(lane: u32): u32 {
  return lane == 0 ? stateA : lane == 1 ? stateB : stateC;
}

/** Sets one of lanes 0 to 2, which code the remaining symbols when their number is no multiple of four. */
export function setState(lane: u32, state: u32): void {
  if (lane == 0) stateA = state;
  else if (lane == 1) stateB = state;
  else stateC = state;
}

/** Returns true when the stream was read exactly up to `end` and every state is the encoder's initial one. */
export function endedAt(end: usize): bool {
  return input == end && stateA == LOWEST_STATE && stateB == LOWEST_STATE && stateC == LOWEST_STATE && stateD == LOWEST_STATE;
}
