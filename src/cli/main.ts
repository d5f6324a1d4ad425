#!/usr/bin/env node
import { VERSION } from '../core/version.js';

const ASKS_VERSION = ['--version', '-V'];

/** Loads the program, which `--version` alone does not need. */
async function main(): Promise<void> {
  const [{ makeProgram }, { run }] = await Promise.all([import('./program.js'), import('./terminal.js')]);
  await run(makeProgram, process.argv);
}

if (process.argv.length === 3 && ASKS_VERSION.includes(process.argv[2]!)) console.log(VERSION);
else void main(); // not awaited: Node would end a module that waits forever with an exit code of its own
