import { type Context, createContext, Script } from 'node:vm';
import { DEADLINE, TooLate } from '../deadline.js';

// V8 ends a script that runs too long, in the middle of a regular expression too, and whatever the script has called.

const script = new Script('work()');
let context: Context | undefined;

DEADLINE.run = (work, mostMs) => {
  context ??= createContext({});
  context.work = work;
  try {
    return script.runInContext(context, { timeout: mostMs });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw error;
    throw new TooLate();
  } finally {
    context.work = undefined;
  }
};
