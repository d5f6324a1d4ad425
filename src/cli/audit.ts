import { Command } from 'commander';
import type { Audit } from '../audit/audit.js';
import { claimOf, parseClaim, type WrittenClaim } from '../audit/claim.js';
import { auditFile } from '../audit/node/file.js';
import { auditClaim } from '../audit/node/stated.js';
import { InputError } from '../core/errors.js';
import { parsePythonJson } from '../core/json.js';
import { plainLine } from '../core/plain-text.js';
import { readBytes, readText } from '../io/node/file.js';
import { openWhole } from './open.js';
import { jsonOption } from './options.js';
import { print, printJson, printLine } from './terminal.js';

/** Flags that state a claim, by the member of a claim file that they are. */
const FLAGS: Readonly<Record<string, [flag: string, description: string]>> = {
  parameters: ['--parameters <n>', 'claimed: parameters of the model'],
  bytes: ['--bytes <size>', 'claimed: size of the compressed model, such as 0.15MB'],
  bits: ['--bits <n>', 'claimed: bits a weight, instead of a size'],
  values: ['--values <n>', 'claimed: numbers that are kept'],
  value_bits: ['--value-bits <n>', 'claimed: bits that each is stored in'],
  ratio: ['--ratio <n>', 'claimed: original over compressed, such as 853:1'],
  original: ['--original <dtype>', 'f32, f16 or bf16: what the original is stored in (default: f32)'],
  lossless: ['--lossless', 'claimed: nothing is lost'],
  relative_error: ['--relative-error <n>', "claimed: squared error over the weights' energy"],
  kl: ['--kl <nats>', 'claimed: divergence from the original a token'],
  model: ['--model <model>', 'the model that a claim is about, to be measured, or its config.json alone'],
};

interface Options {
  readonly against?: string;
  readonly json?: boolean;
  readonly [flag: string]: unknown;
}

/** `weightpress audit`: exit code 1 when something is contradicted. */
export function auditCommand(): Command {
  const command = new Command('audit')
    .description('examine a compression claim: is it possible, and what does the artifact hold')
    .argument('[subject]', 'a claim in YAML, a pickle (gzipped or not), a GGUF file, or any model')
    .option('--against <model>', 'the model that the artifact is said to come from');
  for (const [flag, description] of Object.values(FLAGS)) command.option(flag, description);
  return command
    .addOption(jsonOption())
    .addHelpText(
      'after',
      '\nExamples:\n  $ weightpress audit claim.yaml\n  $ weightpress audit --parameters 1315575808 --bytes 158465 --lossless\n  $ weightpress audit small.wpk --against models/gpt-neo-small\n\nA claim file has members such as parameters, bytes, ratio, lossless, kl; see docs/audit.md.',
    )
    .action(async (subject: string | undefined, options: Options) => {
      const audit = await examine(subject, options);
      if (audit.statements.some(({ verdict }) => verdict === 'contradicted')) process.exitCode = 1;
      if (options.json) return printJson(audit);
      printLine(`${audit.subject}:`);
      for (const { claim, verdict, because } of audit.statements)
        print(`\n${verdict}: ${plainLine(claim)}\n    ${plainLine(because)}`);
    });
}

async function examine(subject: string | undefined, options: Options): Promise<Audit> {
  const flags = flagsOf(options);
  const isClaim = subject === undefined || /\.ya?ml$/i.test(subject);
  if (!isClaim && Object.keys(flags).length)
    throw new InputError('flags that state a claim are not for a file; write them into a claim of their own');
  if (isClaim)
    return auditWritten(
      subject === undefined
        ? claimOf(flags, 'the flags')
        : { ...(await readClaim(subject)), ...claimOf(flags, 'the flags') },
    );
  const against = options.against === undefined ? undefined : await openWhole(options.against);
  try {
    return await auditFile(subject, against);
  } finally {
    await against?.close();
  }
}

async function auditWritten({ model: path, ...claim }: WrittenClaim): Promise<Audit> {
  if (!Object.keys(claim).length)
    throw new InputError('nothing is claimed; expected a file, or flags such as --parameters and --bytes');
  if (path?.endsWith('.json')) return auditClaim(claim, undefined, await readConfig(path));
  const model = path === undefined ? undefined : await openWhole(path);
  try {
    return await auditClaim(claim, model);
  } finally {
    await model?.close();
  }
}

async function readClaim(path: string): Promise<WrittenClaim> {
  return parseClaim(await readText(path), path);
}

async function readConfig(path: string): Promise<Record<string, unknown>> {
  return parsePythonJson(await readBytes(path), path);
}

/** Members of a claim from flags, which commander gives in camel case. */
function flagsOf(options: Options): Record<string, unknown> {
  const given = Object.keys(FLAGS).map((member) => {
    const name = member.replaceAll(/_(.)/g, (_, letter: string) => letter.toUpperCase());
    return [member, options[name]] as const;
  });
  return Object.fromEntries(given.filter(([, value]) => value !== undefined));
}
