// The page: opens what holds weights, and shows it in parts.
import { hubFile, hubPage } from '../dist/browser/hub.js';
import { formatOf } from '../dist/browser/listing/listing.js';
import { openSource } from '../dist/browser/source.js';
import { IntegrityError, isInputError } from '../dist/core/errors.js';
import { lastName } from '../dist/core/file-name.js';
import type { HubAddress } from '../dist/hub/address.js';
import { BlobSource } from '../dist/io/blob.js';
import { FILE_HEADER_BYTES, isWpk } from '../dist/wpk/frames.js';
import { clearAudit, showAudit } from './audit.js';
import { showCachedFiles } from './cached-files.js';
import { hideChoices, showChoices } from './choices.js';
import { redrawDetail, showDetail, stopDetail } from './detail.js';
import { download } from './download.js';
import { whenExampleIsMade } from './example.js';
import { showMetadata } from './metadata.js';
import { bytes, count } from './numbers.js';
import { type Choice, openRepository, type Repository, readTexts } from './open-hub.js';
import { openWeights } from './open-weights.js';
import { SMALL_BYTES, WpkFile } from './open-wpk.js';
import type { Opened, Row } from './opened.js';
import { showLoss, showOverview } from './overview.js';
import { find, input, say } from './page.js';
import { selectTab, startTabs } from './tabs.js';
import { draw, markInTable, showTable } from './tensor-table.js';
import { drawMap, markInMap, showMap } from './treemap.js';
import { placeOf } from './where.js';
import { type Writer, write } from './writing.js';

let shown: Opened | undefined;
let beside: WpkFile | undefined;
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
    if (!signal.aborted) report(error);
  } finally {
    if (running.signal === signal) find('progress').classList.remove('busy');
  }
}

function report(error: unknown): void {
  say((error as Error).message, true);
  if (shown instanceof WpkFile && error instanceof IntegrityError) showLoss(shown.summary, 'damaged');
  if (!isInputError(error)) console.error(error);
}

/** Closes what is open. */
async function clear(): Promise<void> {
  stopDetail();
  find('model').hidden = true;
  hideChoices();
  say('Opening …');
  const before = shown;
  shown = undefined;
  await before?.close();
}

const openOptions = (signal: AbortSignal) => ({
  signal,
  keep: input('keep').checked,
  onProgress: ({ done, total }: { done: number; total: number }) =>
    progress(`downloaded ${bytes(done)}`, done, total),
});

/** Opens what the address field says. */
async function openText(text: string, signal: AbortSignal): Promise<void> {
  await clear();
  const place = placeOf(text);
  if (place.kind === 'hub') return openHub(place, signal);
  if (new URL(place.url).pathname.endsWith('.wpk')) return openWpk(text.trim(), signal);
  const source = await openSource(place.url, openOptions(signal));
  if (isWpk(await source.read(0, Math.min(FILE_HEADER_BYTES, source.byteLength)))) {
    await source.close();
    return openWpk(text.trim(), signal);
  }
  const { byteLength } = source;
  const file = (auditing: AbortSignal) => download(place.url, byteLength, auditing);
  show(await openWeights([source], { name: lastName(source.name), link: text.trim(), file }));
}

/** Opens a repository, or a file of one. */
async function openHub({ file, ...model }: HubAddress, signal: AbortSignal): Promise<void> {
  const repository = await openRepository(model, signal);
  const wanted =
    file === undefined
      ? repository.first
      : repository.choices.find(({ files }) => files.some(({ name }) => name === file));
  showChoices(repository, wanted, (choice) =>
    begin(async (opening) => {
      await clear();
      await openChoice(repository, choice, opening);
    }),
  );
  if (wanted) return openChoice(repository, wanted, signal);
  say(`${model.repository} has ${count(repository.choices.length)} files of weights: choose one.`);
}

async function openChoice(repository: Repository, choice: Choice, signal: AbortSignal): Promise<void> {
  const { model } = repository;
  const [first] = choice.files;
  if (choice.name.endsWith('.wpk'))
    return openWpk(`${hubPage(model)}/resolve/${model.revision}/${first!.name}`, signal);
  say(
    `Reading ${count(choice.files.length)} header${choice.files.length > 1 ? 's' : ''} of ${model.repository}`,
  );
  const { texts, config } = await readTexts(repository, signal);
  const sources = choice.files.map((file) => hubFile(model, file));
  const at = model.revision === 'main' ? '' : `@${model.revision}`;
  const path = choice === repository.first ? '' : `/${first!.name}`;
  const link = `${model.repository}${path}${at}`;
  show(await openWeights(sources, { name: link, link, texts, config }));
  showChoices(repository, choice, (other) =>
    begin(async (opening) => {
      await clear();
      await openChoice(repository, other, opening);
    }),
  );
}

/** Opens files from this machine: one, or the shards of a model. Other files are audited. */
async function openFiles(files: readonly File[], signal: AbortSignal): Promise<void> {
  await clear();
  input('address').value = '';
  const [file] = files as [File];
  const source = new BlobSource(file);
  if (file.name.endsWith('.wpk') || isWpk(await source.read(0, Math.min(FILE_HEADER_BYTES, file.size))))
    return openWpk(file, signal);
  if ((await formatOf(source)) === undefined) {
    find('model').hidden = true;
    await auditOnly(file, signal);
    return;
  }
  const shards = files.toSorted((a, b) => (a.name < b.name ? -1 : 1)).map((each) => new BlobSource(each));
  const name = files.length > 1 ? `${file.name} and ${files.length - 1} more` : file.name;
  show(await openWeights(shards, { name, file: async () => file }));
}

/** Audits what is no file of weights, such as numbers in a pickle. */
async function auditOnly(file: File, signal: AbortSignal): Promise<void> {
  say(`Auditing ${file.name}`);
  clearAudit('');
  await showAudit(file, signal);
  find('model').classList.add('audit-only');
  find('name').textContent = file.name;
  find('format').textContent = 'audited';
  find('warning').hidden = true;
  find('model').hidden = false;
  selectTab('tab-audit');
  say(`${file.name}: audited`);
}

async function openWpk(from: string | File, signal: AbortSignal): Promise<void> {
  const opened = await WpkFile.open(from, openOptions(signal));
  show(opened);
  if (opened.fileBytes <= SMALL_BYTES) await decode(opened, signal);
  else say(`${opened.name} is open. Its blocks are checked when it is decoded.`);
}

/** Decodes and checks a file, and shows what it can then do. */
async function decode(opened: WpkFile, signal: AbortSignal): Promise<void> {
  const started = performance.now();
  const onDecoded = (done: number, total: number) => {
    const left = (((performance.now() - started) / done) * (total - done)) / 1000;
    progress(`decoded ${bytes(done)} of ${bytes(total)}, ${left.toFixed(0)} s left`, done, total);
  };
  const done = await opened.decode(onDecoded, signal);
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  say(`${opened.name}: all checksums match, ${count(done)} bytes decoded in ${seconds} s`);
  if (opened !== shown) return;
  showLoss(opened.summary, 'intact');
  allowUse(opened);
  await showCachedFiles();
}

/** Shows an open file from its beginning. */
function show(opened: Opened): void {
  shown = opened;
  find('model').classList.remove('audit-only');
  document.title = `${opened.name} in weightpress`;
  find('name').textContent = opened.name;
  find('format').textContent = opened.format;
  find('warning').textContent = opened.warning ?? '';
  find('warning').hidden = opened.warning === undefined;
  const { link = '' } = opened;
  input('address').value = link;
  history.replaceState(null, '', link === '' || link === EXAMPLE ? location.pathname : `#${link}`);
  find('model').hidden = false;
  if (navigator.userActivation?.isActive && innerWidth < PHONE_WIDTH) find('model').scrollIntoView();
  const pick = (row: Row) => choose(row, true);
  showOverview(opened);
  showLoss(opened instanceof WpkFile ? opened.summary : undefined, 'unchecked');
  showTable(opened, pick);
  showMap(opened, pick);
  showMetadata(opened.metadata);
  find('texts').replaceChildren();
  find('difference').textContent = '';
  clearAudit('');
  allowUse(opened);
  if (document.querySelector('[role=tab][aria-selected=true]')?.id === 'tab-audit') selectTab('tab-overview');
  find('detail').classList.remove('chosen');
  const largest = opened.rows.reduce<Row | undefined>(
    (most, row) => (most && most.bytes >= row.bytes ? most : row),
    undefined,
  );
  if (largest) choose(largest, false);
  if (!(opened instanceof WpkFile))
    say(`${opened.name}: ${count(opened.rows.length)} tensors; only headers were read.`);
}

/** Shows a tensor beside the table and the map. @param asked whether someone chose it. */
function choose(row: Row, asked: boolean): void {
  markInTable(row);
  markInMap(row);
  if (asked) find('detail').classList.add('chosen');
  const wrong = (error: unknown) => {
    if (!isInputError(error) || error instanceof IntegrityError) report(error);
  };
  void showDetail(row, shown!.fileBytes, wrong);
}

/** Says what can be done with a file: generate text with a decoded .wpk, audit a single file. */
function allowUse(opened: Opened): void {
  const isWpkFile = opened instanceof WpkFile;
  const writer = isWpkFile ? opened.loaded : undefined;
  find('prompt').hidden = !isWpkFile;
  find('only-wpk').hidden = isWpkFile;
  find<HTMLButtonElement>('continue').disabled = !writer;
  find('decode').hidden = !isWpkFile || opened.isDecoded || opened.fileBytes <= SMALL_BYTES;
  if (isWpkFile && opened.problem) find('difference').textContent = `Cannot generate text: ${opened.problem}`;
  find('compress-it').textContent = `npx weightpress compress ${opened.link ?? opened.name}`;
  find('audit-it').textContent =
    opened.link !== undefined && opened.fileBytes > SMALL_BYTES
      ? `Download ${bytes(opened.fileBytes)} and audit them`
      : 'Audit this file';
  find<HTMLButtonElement>('audit-it').disabled = !opened.file || (isWpkFile && !opened.isDecoded);
}

async function writeAll(signal: AbortSignal): Promise<void> {
  const stop = find<HTMLButtonElement>('stop');
  stop.disabled = false;
  find('difference').textContent = '';
  try {
    const { name, loaded } = shown as WpkFile;
    const writers: Writer[] = [{ name, model: loaded! }];
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
    const opened = await WpkFile.open(from, openOptions(signal));
    await decode(opened, signal);
    beside = opened;
  }
  if (!beside.loaded) throw new Error(beside.problem);
  return { name: beside.name, model: beside.loaded };
}

const EXAMPLE = 'tiny.wpk';
/** Pixels below which an open file is scrolled to, over the form above it. */
const PHONE_WIDTH = 640;

/** Opens the example, waiting until the development server has made it. */
function openExample(): void {
  begin(async (signal) => {
    await whenExampleIsMade(EXAMPLE, signal, (text) => say(text));
    await openText(EXAMPLE, signal);
  });
}

find('source').onsubmit = (event) => {
  event.preventDefault();
  begin((signal) => openText(input('address').value, signal));
};
for (const made of document.querySelectorAll<HTMLButtonElement>('[data-open]'))
  made.onclick = () => {
    input('address').value = made.dataset.open!;
    if (made.dataset.open === EXAMPLE) openExample();
    else begin((signal) => openText(made.dataset.open!, signal));
  };
input('file').onchange = () => {
  const files = [...(input('file').files ?? [])];
  if (files.length) begin((signal) => openFiles(files, signal));
  input('file').value = ''; // so that the same file can be chosen again
};
find('prompt').onsubmit = (event) => {
  event.preventDefault();
  begin(writeAll);
};
find('stop').onclick = () => running.abort();
find('another-seed').onclick = () => {
  input('seed').value = String(crypto.getRandomValues(new Uint16Array(1))[0]);
};
find('decode').onclick = () => begin((signal) => decode(shown as WpkFile, signal));
find('audit-it').onclick = () => begin(async (signal) => showAudit(await shown!.file!(signal), signal));
const closeDetail = () => find('detail').classList.remove('chosen');
find('close-detail').onclick = closeDetail;
document.onkeydown = ({ key }) => {
  if (key === 'Escape') closeDetail();
};

document.ondragover = (event) => {
  event.preventDefault();
  document.body.classList.add('dropping');
};
document.ondragleave = (event) => {
  if (!event.relatedTarget) document.body.classList.remove('dropping');
};
document.ondrop = (event) => {
  event.preventDefault();
  document.body.classList.remove('dropping');
  const files = [...(event.dataTransfer?.files ?? [])];
  if (files.length) begin((signal) => openFiles(files, signal));
};

const redraw = () => {
  draw();
  drawMap();
  redrawDetail();
};
startTabs(redraw);
selectTab('tab-overview');
new ResizeObserver(redraw).observe(find('explore'));
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redraw);
showCachedFiles().catch(report);
/** Opens what the page's own address names, or the example. */
function openLinked(): void {
  const linked = location.hash.slice(1).replaceAll('%20', ' ');
  input('address').value = linked;
  if (linked) begin((signal) => openText(linked, signal));
  else openExample();
}
addEventListener('hashchange', openLinked);
openLinked();
