import { InvalidArgumentError, Option } from 'commander';

/** Parses a whole number of at least `least`, for commander. */
export function wholeNumber(least: number) {
  return (text: string): number => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || !Number.isSafeInteger(value) || value < least)
      throw new InvalidArgumentError(`expected a whole number of at least ${least}`);
    return value;
  };
}

export const threadsOption = () =>
  new Option(
    '--threads <n>',
    'worker threads (default: one a core); the result is the same with any number',
  ).argParser(threads);

function threads(text: string): number {
  const n = wholeNumber(1)(text);
  if (n > 256) throw new InvalidArgumentError('expected at most 256');
  return n;
}

export const jsonOption = () => new Option('--json', 'print the result as JSON');
export const forceOption = () => new Option('-f, --force', 'replace an output that exists');

export const expansionOption = () =>
  new Option(
    '--max-expansion <n>',
    'restore over 1 GiB only up to n times the length of the file (default: 1000)',
  ).argParser(wholeNumber(1));
export const stateOption = () =>
  new Option('--state <path>', 'of a checkpoint that holds several states: the one that is the model');
export const excludeOption = () =>
  new Option(
    '--exclude <pattern>',
    'leave out files of this name, such as "*.onnx" or "onnx/**"; can be given again',
  ).argParser((pattern: string, before: string[] = []) => [...before, pattern]);
