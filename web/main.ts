// The page: opens what holds weights, shows it in parts, generates text.
import { showAudit } from './audit.js';
import { showCachedFiles } from './cached-files.js';
import { redrawDetail } from './detail.js';
import { EXAMPLE } from './example.js';
import { WpkFile } from './open-wpk.js';
import { openExample, openFiles, openText } from './opening.js';
import { find, input } from './page.js';
import { begin, openOptions, report, stop } from './running.js';
import { current, decode } from './shown.js';
import { selectTab, startTabs } from './tabs.js';
import { draw } from './tensor-table.js';
import { drawMap } from './treemap.js';
import { type Writer, write } from './writing.js';

let beside: WpkFile | undefined;

/** Continues the prompt with the open file and, if asked to, with another. */
async function writeAll(signal: AbortSignal): Promise<void> {
  const stopping = find<HTMLButtonElement>('stop');
  stopping.disabled = false;
  find('difference').textContent = '';
  try {
    const { name, loaded } = current() as WpkFile;
    const writers: Writer[] = [{ name, model: loaded! }];
    if (input('two').checked) writers.push(await otherWriter(signal));
    await write(writers, signal);
  } finally {
    stopping.disabled = true;
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

/** Opens what the page's own address names, or the example. */
function openLinked(): void {
  const linked = location.hash.slice(1).replaceAll('%20', ' ');
  input('address').value = linked;
  if (linked) begin((signal) => openText(linked, signal));
  else openExample();
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
find('stop').onclick = stop;
find('another-seed').onclick = () => {
  input('seed').value = String(crypto.getRandomValues(new Uint16Array(1))[0]);
};
find('decode').onclick = () => begin((signal) => decode(current() as WpkFile, signal));
find('audit-it').onclick = () => begin(async (signal) => showAudit(await current()!.file!(signal), signal));
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
addEventListener('hashchange', openLinked);
openLinked();
