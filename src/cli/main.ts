#!/usr/bin/env node
import { VERSION } from '../core/version.js';

const ASKS_VERSION = ['--version', '-V'];

if (process.argv.length === 3 && ASKS_VERSION.includes(process.argv[2]!)) console.log(VERSION);
else {
  const [{ makeProgram }, { run }] = await Promise.all([import('./program.js'), import('./terminal.js')]);
  await run(makeProgram, process.argv);
}
