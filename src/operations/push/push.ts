import { basename } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parse } from 'yaml';
import { InputError, IntegrityError } from '../../core/errors.js';
import { parseAddress } from '../../hub/address.js';
import { HubFolder } from '../../hub/folder.js';
import { prepareRepository, type UploadOptions, upload, uploader } from '../../hub/upload.js';
import { openFile } from '../../io/node/file.js';
import { findLicense, frontMatterOf, isPermissive, type License } from '../../models/license.js';
import { type Summary, summarize } from '../../wpk/summary.js';
import { openContainer } from '../decompress.js';
import { verify } from '../verify.js';
import { CARD_MARK, modelCard } from './card.js';

/** The content of an upload. */
export interface PushPlan {
  /** `user/name` on the Hub. */
  readonly repository: string;
  /** The name that the file gets there. */
  readonly file: string;
  /** The model card, Markdown with front matter. */
  readonly card: string;
  /** The license of the original, and where it was found. */
  readonly license: License;
  /** True for a license that is known to permit redistribution. */
  readonly permissive: boolean;
  /** What the file holds. */
  readonly summary: Summary;
  /** The original's license files by name, which are uploaded too. */
  readonly texts: Readonly<Record<string, string>>;
}

/** Result of an upload. */
export interface Pushed {
  /** The address of the commit. */
  readonly url: string;
  /** False if the repository has a card written by a person, which is left unchanged. */
  readonly wroteCard: boolean;
}

/**
 * Plans an upload from the file alone: nothing is sent.
 * @throws {InputError} when the file is not a valid .wpk, or the name not one of a repository.
 */
export async function planPush(path: string, repository: string): Promise<PushPlan> {
  const address = parseAddress(repository);
  if (address?.kind !== 'hub' || address.file !== undefined || repository.includes('@'))
    throw new InputError(`expected user/name as on the Hub, found ${JSON.stringify(repository)}`);
  const container = await openContainer(path);
  try {
    const sideFiles = container.directory.sideFiles.map((stored) => ({
      name: stored.name,
      lengthBytes: stored.length,
      read: () => container.readFile(stored),
    }));
    const license = await findLicense(sideFiles);
    const texts: Record<string, string> = {};
    for (const side of sideFiles)
      if (/^(licen[sc]e|notice|copying)/i.test(side.name))
        texts[side.name] = new TextDecoder().decode(await side.read());
    const card = sideFiles.find(({ name }) => name === 'README.md');
    const said = card && license.from === card.name ? licenseFields(await card.read()) : {};
    const fields = license.from !== card?.name && license.id !== 'unknown' ? { license: license.id } : said;
    const summary = summarize(container);
    const file = basename(path);
    return {
      repository,
      file,
      card: modelCard(repository, file, summary, { ...license, fields }),
      license,
      permissive: isPermissive(license.id),
      summary,
      texts,
    };
  } finally {
    await container.close();
  }
}

/** Returns the license fields of the original's card. */
function licenseFields(card: Uint8Array): Record<string, unknown> {
  const text = frontMatterOf(new TextDecoder().decode(card));
  try {
    const front: unknown = parse(text, { maxAliasCount: 0 });
    const fields = Object.entries(front ?? {}).filter(([key]) => /^license(_name|_link)?$/.test(key));
    return Object.fromEntries(fields);
  } catch {
    return {}; // front matter that is not YAML
  }
}

/**
 * Uploads a .wpk with its card to the Hub, after verifying all of it. A card written by a person is left unchanged.
 * @throws {InputError} without a token, and when the Hub refuses. @throws {IntegrityError} when the file is damaged.
 * @throws the signal's reason once it is aborted; nothing is committed then.
 */
export async function push(path: string, plan: PushPlan, options: UploadOptions = {}): Promise<Pushed> {
  const account = await uploader();
  const source = await openFile(path);
  try {
    const { onProgress, signal } = options;
    const { good, problems } = await verify(path, { onProgress, signal });
    if (!good) throw new IntegrityError(problems[0] ?? 'is damaged', { file: path });
    const { repository, file, card, texts } = plan;
    const there = await prepareRepository(account, repository, options);
    const wroteCard = !there.includes('README.md') || (await isGenerated(repository));
    const files = {
      [file]: pathToFileURL(path),
      ...(wroteCard && { 'README.md': card }),
      ...Object.fromEntries(Object.entries(texts).filter(([name]) => !there.includes(name))),
    };
    await source.verify?.();
    const url = await upload(account, repository, `Upload ${file}`, files, options);
    await source.verify?.(); // the uploaded file is the verified one
    return { url, wroteCard };
  } finally {
    await source.close();
  }
}

async function isGenerated(repository: string): Promise<boolean> {
  const folder = await HubFolder.open({ kind: 'hub', repository, revision: 'main', file: undefined });
  const source = await folder.open('README.md');
  try {
    const bytes = await source.read(0, Math.min(source.byteLength, 2 ** 16));
    return new TextDecoder().decode(bytes).includes(CARD_MARK);
  } finally {
    await source.close();
  }
}
