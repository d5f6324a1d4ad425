/** For every runtime, what rejects once one of its threads has failed. */
const FAILURES = new WeakMap<object, Failure>();

/** How Emscripten names the threads of the runtime. */
const THREAD_NAME = 'em-pthread';

interface Failure {
  readonly promise: Promise<never>;
  readonly report: (error: Error) => void;
}

/**
 * Runs work that may start threads of onnxruntime-web, which itself waits forever for a thread that fails. They start with the first work.
 * @param ort the runtime; once one of its threads has failed, all work on it is rejected.
 * @throws {Error} when a thread has failed.
 */
export async function whileThreadsLive<T>(ort: object, work: () => Promise<T>): Promise<T> {
  const known = FAILURES.get(ort);
  if (known) return Promise.race([known.promise, work()]);
  const failure = makeFailure();
  FAILURES.set(ort, failure);
  const { Worker } = globalThis;
  if (!Worker) return work(); // in a worker of browsers that do not nest them: no threads either
  const Watched = class extends Worker {
    constructor(...parameters: ConstructorParameters<typeof Worker>) {
      super(...parameters);
      if (parameters[1]?.name?.startsWith(THREAD_NAME))
        this.addEventListener('error', ({ message }) => failure.report(threadError(message)));
    }
  };
  globalThis.Worker = Watched;
  try {
    return await Promise.race([failure.promise, work()]);
  } finally {
    if (globalThis.Worker === Watched) globalThis.Worker = Worker;
  }
}

function makeFailure(): Failure {
  let report!: Failure['report'];
  const promise = new Promise<never>((_, reject) => {
    report = reject;
  });
  promise.catch(() => {}); // may come when nothing is under way
  return { promise, report };
}

/** A module that is part of the page's own script runs that script in its threads, where there is no document. */
const threadError = (message: string | undefined) =>
  new Error(
    `a thread of onnxruntime-web failed: ${message || 'its script cannot be loaded'}; import it on demand, await import('onnxruntime-web/wasm'), so that a bundler gives it a file of its own`,
  );
