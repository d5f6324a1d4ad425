// A thread whose jobs throw, return late or end it.
import { setTimeout } from 'node:timers/promises';
import { ConnectionError, InputError, IntegrityError } from '../../dist/core/errors.js';
import { NameTaken } from '../../dist/io/node/output.js';
import { serveThread } from '../../dist/workers/node/thread.js';

const PLACE = { file: 'model.wpk', tensor: 'wte.weight', start: 100, end: 200 };

const THROWN = {
  integrity: () => new IntegrityError('the digest differs', PLACE),
  connection: () => new ConnectionError('no route', { file: 'x' }, { cause: new TypeError('fetch failed') }),
  input: () => new InputError('too long', { tensor: 'a', start: 3 }),
  subclass: () => new NameTaken('x.wpk'),
  range: () => new RangeError('7 is out of bounds'),
  system: () => Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC', errno: -28 }),
  named: () => Object.assign(new Error('stopped'), { name: 'AbortError' }),
  text: () => 'just text',
};

serveThread({
  throw: (kind) => {
    throw THROWN[kind]();
  },
  wait: ({ ms, value }) => setTimeout(ms, value),
  end: () => process.exit(5),
});
