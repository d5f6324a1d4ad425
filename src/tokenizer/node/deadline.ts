import { type Context, createContext, Script } from 'node:vm';
import { DEADLINE, TooLate } from '../deadline.js';

// V8 terminates a script that runs too long, even within a regular expression or a function that the script has called.

const script = new Script('action()');
let context: Context | undefined;

DEADLINE.run = (action, maxMs) => {
  context ??= createContext({});
  context.action = action;
  try {
    return script.runInContext(context, { timeout: maxMs });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw error;
    throw new TooLate();
  } finally {
    context.action = undefined;
  }
};
