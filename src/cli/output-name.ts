import { existsSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import type { Command } from 'commander';
import { InputError } from '../core/errors.js';
import { parseAddress } from '../hub/address.js';
import { STANDARD_INPUT } from '../io/node/standard-input.js';

/** Endings of weight files that are not part of a model's name. */
const WEIGHTS = /\.(safetensors|gguf|bin|pt|pth|ckpt|wpk)$/i;

/**
 * Sets the option `output` of a command that has one: from the argument after the input, or from the input's name.
 * @throws {InputError} when it is named twice.
 */
export function nameOutput(command: Command): void {
  if (!hasOutput(command)) return;
  const [input = '', named] = command.args;
  const { output, format, to } = command.opts<{
    readonly output?: string;
    readonly format?: string;
    readonly to?: string;
  }>();
  if (output !== undefined && named !== undefined)
    throw new InputError(`the output is named twice: ${named} and --output ${output}`);
  const ending = ENDINGS[command.name()]?.(to) ?? (format === 'gguf' ? '.gguf' : '');
  command.setOptionValue('output', output ?? named ?? `${nameOf(input)}${ending}`);
}

const ENDINGS: Readonly<Record<string, (type: string | undefined) => string>> = {
  compress: () => '.wpk',
  quantize: (type) => (type === undefined ? '.gguf' : `-${type}.gguf`),
};

const hasOutput = ({ options }: Command) => options.some(({ long }) => long === '--output');

/** Returns the name of a model without folders, owner, revision and ending: `gpt2` of `openai-community/gpt2@main`. */
export function nameOf(input: string): string {
  return basename(placeOf(input)).replace(WEIGHTS, '') || 'model';
}

/** Returns the path of an input, of an address on its server, of a model or file on the Hub without its revision. */
function placeOf(input: string): string {
  const address = existsSync(input) ? undefined : parseAddress(input);
  if (address?.kind === 'url') return new URL(address.url).pathname;
  return address ? (address.file ?? address.repository) : resolve(input);
}

/** Where `-` is standard input: an option, or the place of an argument, of a command. */
const STREAMS: Readonly<Record<string, readonly (string | number)[]>> = {
  audit: [0],
  generate: [1],
  evaluate: ['text'],
  compress: ['calibrate'],
  quantize: ['calibrate'],
  lab: ['calibrate', 'text'],
};

/** Options and places of arguments that name what is written: it gets its name when it is complete and checked. */
const OUTPUTS = ['output', 'html', 'statistics', 'saveLogits', 'saveImatrix'];

/**
 * Checks that `-` stands only where a command reads standard input, and once.
 * @throws {InputError} for any other: models are read by ranges.
 */
export function checkStreams(command: Command): void {
  const given: (readonly [string | number, unknown])[] = [
    ...command.args.entries(),
    ...Object.entries(command.opts<Record<string, unknown>>()),
  ];
  const dashes = given.filter(([, value]) => value === STANDARD_INPUT).map(([place]) => place);
  const wrong = dashes.find((place) => !STREAMS[command.name()]?.includes(place));
  if (wrong !== undefined) {
    const what = command.options.find((option) => option.attributeName() === wrong)?.long;
    throw new InputError(
      (wrong === 1 && hasOutput(command)) || OUTPUTS.includes(`${wrong}`)
        ? `${what ?? 'the output'} cannot be written to standard output`
        : `${what ?? 'a model'} cannot be read from standard input`,
    );
  }
  if (dashes.length > 1) throw new InputError('- is given twice: standard input is read once');
}
