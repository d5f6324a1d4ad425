// Opens what is asked for: an address, a model on the Hub, files.
import { hubFile, hubPage } from '../dist/browser/hub.js';
import { formatOf } from '../dist/browser/listing/listing.js';
import { openSource } from '../dist/browser/source.js';
import { lastName } from '../dist/core/file-name.js';
import type { HubAddress } from '../dist/hub/address.js';
import { BlobSource } from '../dist/io/blob.js';
import { FILE_HEADER_BYTES, isWpk } from '../dist/wpk/frames.js';
import { clearAudit, showAudit } from './audit.js';
import { showChoices } from './choices.js';
import { download } from './download.js';
import { EXAMPLE, whenExampleIsMade } from './example.js';
import { count } from './numbers.js';
import { type Choice, openRepository, type Repository, readTexts } from './open-hub.js';
import { openWeights } from './open-weights.js';
import { SMALL_BYTES, WpkFile } from './open-wpk.js';
import { find, input, say } from './page.js';
import { begin, openOptions } from './running.js';
import { clear, decode, show } from './shown.js';
import { selectTab } from './tabs.js';
import { placeOf } from './where.js';

/** Opens what a text names. @throws {InputError} when it cannot be opened. */
export async function openText(text: string, signal: AbortSignal): Promise<void> {
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
  await show(await openWeights([source], { name: lastName(source.name), link: text.trim(), file }), signal);
}

/** Opens a repository, or a file of one. */
async function openHub({ file, ...model }: HubAddress, signal: AbortSignal): Promise<void> {
  const repository = await openRepository(model, signal);
  const wanted =
    file === undefined
      ? repository.first
      : repository.choices.find(({ files }) => files.some(({ name }) => name === file));
  offerChoices(repository, wanted);
  if (wanted) return openChoice(repository, wanted, signal);
  say(`${model.repository} has ${count(repository.choices.length)} files of weights: choose one.`);
}

/** Opens files of a repository. */
async function openChoice(repository: Repository, choice: Choice, signal: AbortSignal): Promise<void> {
  const { model } = repository;
  const [first] = choice.files;
  if (choice.name.endsWith('.wpk'))
    return openWpk(`${hubPage(model)}/resolve/${model.revision}/${first!.name}`, signal);
  say(`Reading ${count(choice.files.length)} of the files of ${model.repository}`);
  const { texts, config } = await readTexts(repository, signal);
  const sources = choice.files.map((file) => hubFile(model, file));
  const above = first!.name.slice(0, first!.name.lastIndexOf('/') + 1);
  const open = async (name: string) => {
    const file = repository.files.find((each) => each.name === above + name);
    return file && hubFile(model, file);
  };
  const at = model.revision === 'main' ? '' : `@${model.revision}`;
  const path = choice === repository.first ? '' : `/${first!.name}`;
  const link = `${model.repository}${path}${at}`;
  await show(await openWeights(sources, { name: link, link, texts, config, open }), signal);
  offerChoices(repository, choice);
}

/** Lists the weights of a repository, to open others. */
function offerChoices(repository: Repository, current: Choice | undefined): void {
  showChoices(repository, current, (choice) =>
    begin(async (signal) => {
      await clear();
      await openChoice(repository, choice, signal);
    }),
  );
}

/** Opens files from this machine: one, the shards of a model, or ONNX files with their external data. Other files are audited. */
export async function openFiles(files: readonly File[], signal: AbortSignal): Promise<void> {
  await clear();
  input('address').value = '';
  const onnx = files.filter((each) => each.name.endsWith('.onnx'));
  const weights = onnx.length ? onnx : files;
  const [file] = weights as [File];
  const source = new BlobSource(file);
  if (file.name.endsWith('.wpk') || isWpk(await source.read(0, Math.min(FILE_HEADER_BYTES, file.size))))
    return openWpk(file, signal);
  if ((await formatOf(source)) === undefined) return auditOnly(file, signal);
  const shards = weights.toSorted((a, b) => (a.name < b.name ? -1 : 1)).map((each) => new BlobSource(each));
  const name = files.length > 1 ? `${file.name} and ${files.length - 1} more` : file.name;
  const open = async (beside: string) => {
    const found = files.find((each) => each.name === lastName(beside));
    return found && new BlobSource(found);
  };
  await show(await openWeights(shards, { name, file: async () => file, open }), signal);
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

/** Opens a .wpk, and decodes a small one. */
async function openWpk(from: string | File, signal: AbortSignal): Promise<void> {
  const opened = await WpkFile.open(from, openOptions(signal));
  await show(opened, signal);
  if (opened.fileBytes <= SMALL_BYTES) await decode(opened, signal);
  else say(`${opened.name} is open. Its blocks are checked when it is decoded.`);
}

/** Opens the example, waiting until the development server has made it. */
export function openExample(): void {
  begin(async (signal) => {
    await whenExampleIsMade(EXAMPLE, signal, (text) => say(text));
    await openText(EXAMPLE, signal);
  });
}
