// Waits for the example, which the development server makes at its first start.
import { InputError } from '../dist/core/errors.js';

/** The example that is opened when nothing else is named. */
export const EXAMPLE = 'tiny.wpk';
const LOOK_AGAIN_MS = 1000;

/** Waits until an example is made. @param say is called with what is to be said meanwhile. @throws {InputError} when it cannot be made. */
export async function whenExampleIsMade(
  name: string,
  signal: AbortSignal,
  say: (text: string) => void,
): Promise<void> {
  const started = performance.now();
  for (;;) {
    const response = await fetch('examples.json', { signal });
    const states = (await response.json()) as Record<string, string>;
    const problem = states[name];
    if (!problem) return;
    if (problem !== 'is being made') throw new InputError(`The example ${problem}`);
    const seconds = Math.round((performance.now() - started) / 1000);
    say(`The example is being made: ${seconds} s so far. You can open anything else.`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
    signal.throwIfAborted();
  }
}
