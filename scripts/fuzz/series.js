import { fork } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

// Runs and watches child processes that try inputs. When one dies or hangs, its current input is reported.

/**
 * Runs processes one after another on every `step`-th input from `index` on; each continues after the input that ended the last one.
 * @param settings of child.js. @param on `finding` and `counts` receive the messages of the processes.
 */
export async function series(index, settings, on) {
  for (let from = index; from !== undefined; ) from = await runChild(index, from, settings, on);
}

/** Runs one process. @returns the next input; undefined when all are done. */
function runChild(index, from, settings, on) {
  const { kinds, scratch, seconds, step, input } = settings;
  const progress = join(scratch, `at-${index}`);
  const own = { ...settings, from, progress, place: join(scratch, `place-${index}`) };
  rmSync(progress, { force: true }); // the one before was at another input
  const child = fork(new URL('child.js', import.meta.url), [JSON.stringify(own)], {
    execArgv: ['--max-old-space-size=600', '--expose-gc'],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  let [done, hung, errors, counts] = [false, false, '', {}];
  child.stderr.on('data', (data) => {
    errors = (errors + data).slice(-4000);
  });
  child.on('message', (message) => {
    counts = message.counts ?? counts;
    done ||= message.done === true;
    if (message.finding) on.finding(message.finding);
  });
  const watch = watching(progress, seconds, () => {
    hung = true;
    child.kill('SIGKILL');
  });
  return new Promise((resolve) => {
    child.on('close', (code, signal) => {
      clearInterval(watch);
      on.counts(counts);
      if (done) return resolve(undefined);
      const number = numberIn(progress) ?? from;
      const ended = `the process ends (${signal ?? code}): ${errors}`;
      const what = hung ? `does not end within ${2 * seconds} s` : ended;
      on.finding({ number, kind: kinds[number % kinds.length], what });
      resolve(input ? undefined : number + step);
    });
  });
}

/** Calls `onHang` when no new input was started for twice the time limit of one: the first try may be slow because of other processes. */
function watching(progress, seconds, onHang) {
  let [last, since] = [undefined, Date.now()];
  return setInterval(() => {
    const number = numberIn(progress);
    if (number !== last) [last, since] = [number, Date.now()];
    else if (number !== undefined && Date.now() - since > 2 * seconds * 1000) onHang();
  }, 200);
}

function numberIn(progress) {
  const text = existsSync(progress) ? readFileSync(progress, 'utf8').trim() : '';
  return text === '' ? undefined : Number(text);
}
