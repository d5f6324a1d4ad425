// The page: opens a model, shows its parts, generates text; audits other files.
import { type BrowserModel, open } from '../dist/browser/open.js';
import { InputError, IntegrityError, isInputError } from '../dist/core/errors.js';
import { lastName } from '../dist/core/file-name.js';
import type { Progress } from '../dist/core/progress.js';
import { chunksOf } from '../dist/io/body.js';
import { request } from '../dist/io/request.js';
import { FILE_HEADER_BYTES, isWpk } from '../dist/wpk/frames.js';
import { type Summary, summarize } from '../dist/wpk/summary.js';
import { showAudit } from './audit.js';
import { showCachedFiles } from './cached-files.js';
import { factsOf, lossOf, type State } from './facts.js';
import { count, element, find, input, say } from './page.js';
import { showHistogram, showRoles, showTable, showTensors } from './pictures.js';
import { prepare, type Writer, write } from './writing.js';

/** An open model, with its weights in memory if it can be run. */
class Opened {
  writer: Writer | undefined;
  /** Why it cannot generate text. */
  problem = '';

  private constructor(
    readonly from: string | File,
    readonly model: BrowserModel,
    readonly summary: Summary,
  ) {}

  static async open(from: string | File, signal: AbortSignal): Promise<Opened> {
    const model = await open(from, {
      signal,
      keep: input('keep').checked,
      onProgress: ({ done, total }) => progress(`downloaded ${count(done)} bytes`, done, total),
    });
    return new Opened(from, model, summarize(model.container));
  }

  get name(): string {
    return typeof this.from === 'string' ? lastName(this.from) : this.from.name;
  }

  /** Decodes and checks every block, and loads the weights if the model can be run. */
  async decode(signal: AbortSignal): Promise<void> {
    const started = performance.now();
    const total = this.model.tensors.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0);
    let done = 0;
    const onDecoded = (now: number, of: number) => {
      done = now;
      const left = (((performance.now() - started) / done) * (of - done)) / 1000;
      progress(`decoded ${count(done)} of ${count(of)} bytes, ${left.toFixed(0)} s left`, done, of);
    };
    const onProgress = ({ unit, done, total }: Progress) => {
      if (unit === 'bytes') onDecoded(done, total);
    };
    try {
      this.writer = { name: this.name, model: await prepare(this.model, onProgress, signal) };
    } catch (error) {
      if (!isInputError(error) || error instanceof IntegrityError || done) throw error;
      this.problem = error.message;
    }
    // the weights were not read in file order, or the model cannot be run
    if (!done)
      for await (const { lengthBytes } of this.model.all(signal)) onDecoded(done + lengthBytes, total);
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    say(`${this.name}: all checksums match, ${count(done)} bytes decoded in ${seconds} s`);
  }

  async close(): Promise<void> {
    await this.writer?.model.close();
    await this.model.close();
  }
}

let shown: Opened | undefined;
let beside: Opened | undefined;
let running = new AbortController();

function progress(text: string, done: number, total: number): void {
  const bar = find<HTMLProgressElement>('progress');
  bar.classList.add('busy');
  bar.value = total ? done / total : 0;
  say(text);
}

/** Runs an action after aborting the previous one. Errors are shown; unexpected ones are also logged to the console. */
async function begin(action: (signal: AbortSignal) => Promise<void>): Promise<void> {
  running.abort();
  running = new AbortController();
  const { signal } = running;
  try {
    await action(signal);
  } catch (error) {
    if (signal.aborted) return;
    say((error as Error).message, true);
    if (!isInputError(error)) console.error(error);
  } finally {
    if (running.signal === signal) find('progress').classList.remove('busy');
  }
}

async function show(from: string | File, signal: AbortSignal): Promise<void> {
  find('model').hidden = true;
  find('audit').hidden = true;
  say('opening');
  allowUse(false);
  const before = shown;
  shown = undefined;
  await before?.close();
  if (from instanceof File && !(await claimsWpk(from))) {
    await showAudit(from, signal);
    say(`${from.name}: audited`);
    return;
  }
  const opened = await Opened.open(from, signal);
  shown = opened;
  find('facts').replaceChildren(...(await factsOf(opened.model, opened.summary)));
  showLoss(opened, 'unchecked');
  find('texts').replaceChildren();
  find('difference').textContent = '';
  find('model').hidden = false;
  drawAll(opened);
  await opened.decode(signal).catch((error) => {
    if (error instanceof IntegrityError) showLoss(opened, 'damaged');
    throw error;
  });
  showLoss(opened, 'intact');
  allowUse(true);
  find<HTMLButtonElement>('continue').disabled = !opened.writer;
  if (opened.problem) find('difference').textContent = `Cannot generate text: ${opened.problem}`;
  await showCachedFiles();
}

/** Shows the loss, depending on the state of the blocks. */
function showLoss({ summary }: Opened, state: State): void {
  find('loss').replaceChildren(lossOf(summary, state));
}

/** Enables or disables the buttons that need a decoded model. */
function allowUse(allowed: boolean): void {
  for (const id of ['continue', 'audit-it']) find<HTMLButtonElement>(id).disabled = !allowed;
}

async function claimsWpk(file: File): Promise<boolean> {
  return (
    file.name.endsWith('.wpk') || isWpk(new Uint8Array(await file.slice(0, FILE_HEADER_BYTES).arrayBuffer()))
  );
}

let drawing = new AbortController();

function drawAll({ model, summary }: Opened): void {
  const choice = find<HTMLSelectElement>('tensor');
  const histogram = () => {
    drawing.abort();
    drawing = new AbortController();
    if (choice.value) reportErrors(showHistogram(model, choice.value, drawing.signal));
  };
  const chosen = choice.value;
  choice.replaceChildren(...summary.tensors.map(({ name }) => element('option', name)));
  choice.value = summary.tensors.some(({ name }) => name === chosen) ? chosen : largestOf(summary);
  choice.onchange = histogram;
  showRoles(summary);
  showTensors(summary, (name) => {
    choice.value = name;
    histogram();
  });
  showTable(summary);
  histogram();
}

function largestOf({ tensors }: Summary): string {
  return tensors.toSorted((a, b) => b.compressedBytes - a.compressedBytes)[0]?.name ?? '';
}

/** Shows the error of an action in the background. */
function reportErrors(action: Promise<void>): void {
  action.catch((error) => {
    if ((error as Error).name === 'AbortError') return;
    say((error as Error).message, true);
    if (shown && error instanceof IntegrityError) showLoss(shown, 'damaged');
    if (!isInputError(error)) console.error(error);
  });
}

async function writeAll(signal: AbortSignal): Promise<void> {
  const stop = find<HTMLButtonElement>('stop');
  stop.disabled = false;
  find('difference').textContent = '';
  try {
    const writers = [shown!.writer!];
    if (input('two').checked) writers.push(await otherWriter(signal));
    await write(writers, signal);
  } finally {
    stop.disabled = true;
  }
}

/** Returns the second model, opened once. */
async function otherWriter(signal: AbortSignal): Promise<Writer> {
  const from = input('other-file').files?.[0] ?? input('other').value;
  if (beside?.from !== from) {
    await beside?.close();
    beside = undefined;
    const opened = await Opened.open(from, signal);
    await opened.decode(signal);
    beside = opened;
  }
  if (!beside.writer) throw new Error(beside.problem);
  return beside.writer;
}

find('source').onsubmit = (event) => {
  event.preventDefault();
  begin((signal) => show(input('address').value, signal));
};
input('file').onchange = () => {
  const file = input('file').files?.[0];
  if (file) begin((signal) => show(file, signal));
};
find('prompt').onsubmit = (event) => {
  event.preventDefault();
  begin(writeAll);
};
find('stop').onclick = () => running.abort();
find('audit-it').onclick = () =>
  begin(async (signal) => {
    const { from, summary } = shown!;
    const file = from instanceof File ? from : await download(from, summary.fileBytes, signal);
    await showAudit(file, signal);
  });
/** Downloads a whole file of at most `maxBytes` bytes. */
async function download(address: string, maxBytes: number, signal: AbortSignal): Promise<File> {
  const { response } = await request(address, new URL(address, location.href).href, { signal });
  if (!response.ok) throw new InputError(`the server answered ${response.status}`, { file: address });
  const parts: Blob[] = []; // browsers store large Blobs on disk
  let bytes = 0;
  for await (const chunk of chunksOf(response)) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw new InputError('the server sent more bytes than expected', { file: address });
    parts.push(new Blob([chunk as Uint8Array<ArrayBuffer>]));
  }
  return new File(parts, lastName(address));
}

document.ondragover = (event) => {
  event.preventDefault();
  document.body.classList.add('dropping');
};
document.ondragleave = () => document.body.classList.remove('dropping');
document.ondrop = (event) => {
  event.preventDefault();
  document.body.classList.remove('dropping');
  const file = event.dataTransfer?.files[0];
  if (file) begin((signal) => show(file, signal));
};

let width = innerWidth;
addEventListener('resize', () => {
  if (innerWidth === width) return;
  width = innerWidth;
  if (shown) drawAll(shown);
});

reportErrors(showCachedFiles());
begin((signal) => show(input('address').value, signal));
