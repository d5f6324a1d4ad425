#!/usr/bin/env node
import { Command } from 'commander';
import { VERSION } from '../core/version.js';
import { analyzeCommand } from './analyze.js';
import { auditCommand } from './audit.js';
import { catalogCommand } from './catalog.js';
import { compressCommand } from './compress.js';
import { decompressCommand } from './decompress.js';
import { evaluateCommand } from './evaluate.js';
import { generateCommand } from './generate.js';
import { inspectCommand } from './inspect.js';
import { labCommand } from './lab.js';
import { reportLeftovers } from './leftovers.js';
import { pushCommand } from './push.js';
import { run } from './terminal.js';
import { verifyCommand } from './verify.js';

const COMMANDS = [
  analyzeCommand,
  compressCommand,
  decompressCommand,
  verifyCommand,
  inspectCommand,
  evaluateCommand,
  generateCommand,
  catalogCommand,
  labCommand,
  auditCommand,
  pushCommand,
];

const program = new Command('weightpress')
  .description(
    'Compresses transformer weights into one file, losslessly or to a budget, and measures the loss.',
  )
  .version(VERSION)
  .hook('preAction', (_, command) => reportLeftovers(command))
  .configureHelp({ showGlobalOptions: false })
  .addHelpText(
    'after',
    '\nExit codes: 0 success, 1 a check failed, 2 bad input or usage, 3 unexpected error.',
  );
for (const make of COMMANDS) program.addCommand(make());
for (const command of [program, ...program.commands])
  command.exitOverride().showHelpAfterError('(--help shows the usage)');

run(program, process.argv);
