import { type Command, InvalidArgumentError, Option } from 'commander';

/** Returns a commander parser for whole numbers of at least `min`. */
export function wholeNumber(min: number) {
  return (text: string): number => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || !Number.isSafeInteger(value) || value < min)
      throw new InvalidArgumentError(`expected a whole number of at least ${min}`);
    return value;
  };
}

export const threadsOption = () =>
  new Option(
    '--threads <n>',
    'threads of this process (default: one per core); the result does not depend on it',
  ).argParser(threads);

function threads(text: string): number {
  const n = wholeNumber(1)(text);
  if (n > 256) throw new InvalidArgumentError('expected at most 256');
  return n;
}

export const jsonOption = () => new Option('--json', 'print the result as JSON');
export const forceOption = () => new Option('-f, --force', 'overwrite an existing output');

export const expansionOption = () =>
  new Option(
    '--max-expansion <n>',
    'refuse outputs over 1 GiB that exceed n times the size of the file (default: 1000)',
  ).argParser(wholeNumber(1));
export const baseOption = () =>
  new Option(
    '--base <model>',
    'for a .wpk that is stored as differences: the model that they are from (default: found beside it by its name)',
  );
export const stateOption = () =>
  new Option('--state <path>', 'for a checkpoint with several states: the one to use');
export const excludeOption = () =>
  new Option(
    '--exclude <pattern>',
    'leave out matching files, such as "*.onnx" or "onnx/**"; may be repeated',
  ).argParser((pattern: string, before: string[] = []) => [...before, pattern]);

/** Options of every command. */
export const quietOption = () =>
  new Option('-q, --quiet', 'print results and errors only').conflicts('verbose');
export const verboseOption = () =>
  new Option('-v, --verbose', 'also print each stage with its seconds, and the stack of an error');

/** Makes an error of an option that is given twice with a value, unless it collects its values: the first would be ignored. */
export function refuseRepeated(command: Command): void {
  for (const option of command.options) {
    let count = 0;
    command.on(`option:${option.name()}`, (value) => {
      count++;
      const collects = Array.isArray(command.getOptionValue(option.attributeName()));
      if (count > 1 && value != null && !collects)
        command.error(`error: option '${option.flags}' may be given once`);
    });
  }
}
