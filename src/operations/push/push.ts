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
  readonly repository: string;
  readonly file: string;
  readonly card: string;
  readonly license: License;
  /** Whether the license is known to permit sharing. */
  readonly permissive: boolean;
  readonly summary: Summary;
  /** The original's license files. */
  readonly texts: Readonly<Record<string, string>>;
}

/**
 * Returns what `push` would upload, without sending anything.
 * @throws {InputError} when the file is not a valid .wpk, or the repository's name is invalid.
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
 * Verifies a .wpk and uploads it with its card to the Hub. An existing card that was not generated is left unchanged.
 * @returns the URL of the commit, and whether the card was written.
 * @throws {InputError} without a token, and when the Hub refuses. @throws {IntegrityError} when the file is damaged.
 */
export async function push(
  path: string,
  plan: PushPlan,
  options: UploadOptions = {},
): Promise<{ readonly url: string; readonly wroteCard: boolean }> {
  const account = await uploader();
  const source = await openFile(path);
  try {
    const { good, problems } = await verify(path);
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
