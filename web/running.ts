// What the page does at the moment, one thing at a time.
import { IntegrityError, isInputError } from '../dist/core/errors.js';
import { bytes } from './numbers.js';
import { find, input, say } from './page.js';

let running = new AbortController();
let damaged = () => {};

/** Sets what happens when the data of the open file turns out to be damaged. */
export function whenDamaged(action: () => void): void {
  damaged = action;
}

/** Shows how far something is. */
export function progress(text: string, done: number, total: number): void {
  const bar = find<HTMLProgressElement>('progress');
  bar.classList.add('busy');
  bar.value = total ? done / total : 0;
  say(text);
}

/** Runs an action after aborting the previous one. Errors are shown; unexpected ones are also logged to the console. */
export async function begin(action: (signal: AbortSignal) => Promise<void>): Promise<void> {
  running.abort();
  running = new AbortController();
  const { signal } = running;
  try {
    await action(signal);
  } catch (error) {
    if (!signal.aborted) report(error);
  } finally {
    if (running.signal === signal) find('progress').classList.remove('busy');
  }
}

/** Ends what is running. */
export const stop = () => running.abort();

/** Shows an error. */
export function report(error: unknown): void {
  say((error as Error).message, true);
  if (error instanceof IntegrityError) damaged();
  if (!isInputError(error)) console.error(error);
}

/** Returns how files are opened: with the form's settings, reporting downloads. */
export const openOptions = (signal: AbortSignal) => ({
  signal,
  keep: input('keep').checked,
  onProgress: ({ done, total }: { done: number; total: number }) =>
    progress(`downloaded ${bytes(done)}`, done, total),
});
