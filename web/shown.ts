// The open file, and its parts on the page.
import { IntegrityError, isInputError } from '../dist/core/errors.js';
import { clearAudit } from './audit.js';
import { showCachedFiles } from './cached-files.js';
import { hideChoices } from './choices.js';
import { showDetail, stopDetail } from './detail.js';
import { EXAMPLE } from './example.js';
import { showMetadata } from './metadata.js';
import { bytes, count } from './numbers.js';
import { SMALL_BYTES, WpkFile } from './open-wpk.js';
import type { Opened, Row } from './opened.js';
import { showLoss, showOverview } from './overview.js';
import { find, input, say } from './page.js';
import { progress, report, whenDamaged } from './running.js';
import { selectTab } from './tabs.js';
import { markInTable, showTable } from './tensor-table.js';
import { markInMap, showMap } from './treemap.js';

/** Pixels below which an open file is scrolled to, over the form above it. */
const PHONE_WIDTH = 640;

let shown: Opened | undefined;
whenDamaged(() => {
  if (shown instanceof WpkFile) showLoss(shown.summary, 'damaged');
});

/** Returns the open file. */
export const current = () => shown;

/** Closes what is open. */
export async function clear(): Promise<void> {
  stopDetail();
  find('model').hidden = true;
  hideChoices();
  say('Opening …');
  const before = shown;
  shown = undefined;
  await before?.close();
}

/** Shows an open file from its beginning, unless another one was opened meanwhile. */
export async function show(opened: Opened, signal: AbortSignal): Promise<void> {
  if (signal.aborted) {
    await opened.close();
    throw signal.reason;
  }
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

/** Decodes and checks a file, and shows what it can then do. */
export async function decode(opened: WpkFile, signal: AbortSignal): Promise<void> {
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

/** Says what can be done with a file: generate text with a decoded .wpk, audit a single file. */
function allowUse(opened: Opened): void {
  const isWpkFile = opened instanceof WpkFile;
  const writer = isWpkFile ? opened.loaded : undefined;
  find('prompt').hidden = !isWpkFile;
  find('chat-choice').hidden = !writer?.hasChat;
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
