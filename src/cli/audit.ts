import { Command } from 'commander';
import type { Audit } from '../audit/audit.js';
import { claimOf, parseClaim, type WrittenClaim } from '../audit/claim.js';
import { auditFile } from '../audit/node/file.js';
import { auditClaim } from '../audit/node/stated.js';
import { byVerdict, countVerdicts, type Statement } from '../audit/verdict.js';
import { InputError } from '../core/errors.js';
import { parsePythonJson } from '../core/json.js';
import { plainLine } from '../core/plain-text.js';
import { readBytes } from '../io/node/file.js';
import { readTextOrInput, STANDARD_INPUT } from '../io/node/standard-input.js';
import { type Color, printVerdict } from './colors.js';
import { openWhole } from './open.js';
import { baseOption, jsonOption } from './options.js';
import { print, printJson, printLine } from './terminal.js';

/** Flags that state a claim, by the key that each has in a claim file. */
const FLAGS: Readonly<Record<string, [flag: string, description: string]>> = {
  parameters: ['--parameters <n>', 'claimed number of parameters'],
  bytes: ['--bytes <size>', 'claimed size of the compressed model, such as 0.15MB'],
  bits: ['--bits <n>', 'claimed bits per weight, instead of a size'],
  values: ['--values <n>', 'claimed number of stored values'],
  value_bits: ['--value-bits <n>', 'claimed bits per stored value'],
  ratio: ['--ratio <n>', 'claimed original size over compressed size, such as 853:1'],
  original: ['--original <dtype>', 'data type of the original: f32, f16 or bf16 (default: f32)'],
  lossless: ['--lossless', 'claimed to be lossless'],
  relative_error: ['--relative-error <n>', 'claimed squared error relative to the energy of the weights'],
  kl: ['--kl <nats>', 'claimed KL divergence from the original, nats per token'],
  model: ['--model <model>', 'the model of the claim, which is measured, or only its config.json'],
};

const COLORS: Readonly<Record<Statement['verdict'], Color>> = {
  contradicted: 'red',
  supported: 'green',
  'cannot be checked': 'yellow',
};

interface Options {
  readonly against?: string;
  readonly base?: string;
  readonly json?: boolean;
  readonly [flag: string]: unknown;
}

/** `weightpress audit`: exit code 1 when a statement is contradicted. */
export function auditCommand(): Command {
  const command = new Command('audit')
    .argument(
      '[subject]',
      'a claim in YAML (- reads it from standard input), a pickle (gzipped or not), a GGUF file, or any model',
    )
    .option('--against <model>', 'the original model of the artifact')
    .addOption(baseOption());
  for (const [flag, description] of Object.values(FLAGS)) command.option(flag, description);
  return command
    .addOption(jsonOption())
    .addHelpText(
      'after',
      '\nExamples:\n  $ weightpress audit claim.yaml\n  $ weightpress audit --parameters 1315575808 --bytes 158465 --lossless\n  $ weightpress audit small.wpk --against models/gpt-neo-small\n\nA claim file has keys such as parameters, bytes, ratio, lossless, kl; see docs/audit.md.',
    )
    .action(async (subject: string | undefined, options: Options) => {
      const { subject: name, statements } = await examine(subject, options);
      const verdicts = countVerdicts(statements);
      if (verdicts.contradicted) process.exitCode = 1;
      const sorted = byVerdict(statements);
      if (options.json) return printJson({ subject: name, statements: sorted, verdicts });
      printLine(`${name}:`);
      for (const { claim, verdict, because } of sorted) {
        print();
        printVerdict(COLORS[verdict], verdict, `: ${claim}`);
        print(`    ${plainLine(because)}`);
      }
      print();
      const counts = Object.entries(verdicts).map(([verdict, n]) => `${n} ${verdict}`);
      printVerdict(verdicts.contradicted ? 'red' : 'green', counts.join(', '));
    });
}

async function examine(subject: string | undefined, options: Options): Promise<Audit> {
  const flags = flagsOf(options);
  const isClaim = subject === undefined || subject === STANDARD_INPUT || /\.ya?ml$/i.test(subject);
  if (!isClaim && Object.keys(flags).length)
    throw new InputError(
      'a model file and flags that state a claim exclude each other; run them as two audits',
    );
  if (isClaim)
    return auditWritten(
      subject === undefined
        ? claimOf(flags, 'the flags')
        : { ...(await readClaim(subject)), ...claimOf(flags, 'the flags') },
    );
  const against = options.against === undefined ? undefined : await openWhole(options.against);
  try {
    return await auditFile(subject, against, options.base);
  } finally {
    await against?.close();
  }
}

async function auditWritten({ model: path, ...claim }: WrittenClaim): Promise<Audit> {
  if (!Object.keys(claim).length)
    throw new InputError('no claim; expected a file, or flags such as --parameters and --bytes');
  if (path?.endsWith('.json')) return auditClaim(claim, undefined, await readConfig(path));
  const model = path === undefined ? undefined : await openWhole(path);
  try {
    return await auditClaim(claim, model);
  } finally {
    await model?.close();
  }
}

async function readClaim(path: string): Promise<WrittenClaim> {
  return parseClaim(await readTextOrInput(path), path === STANDARD_INPUT ? 'standard input' : path);
}

async function readConfig(path: string): Promise<Record<string, unknown>> {
  return parsePythonJson(await readBytes(path), path);
}

/** Returns the claim's keys from the flags, which commander names in camel case. */
function flagsOf(options: Options): Record<string, unknown> {
  const given = Object.keys(FLAGS).map((member) => {
    const name = member.replaceAll(/_(.)/g, (_, letter: string) => letter.toUpperCase());
    return [member, options[name]] as const;
  });
  return Object.fromEntries(given.filter(([, value]) => value !== undefined));
}
