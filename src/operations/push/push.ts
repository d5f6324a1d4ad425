import { basename } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { ByteSource } from '../../core/byte-source.js';
import { InputError, IntegrityError } from '../../core/errors.js';
import { parseAddress } from '../../hub/address.js';
import { HubFolder } from '../../hub/folder.js';
import { prepareRepository, type UploadOptions, upload, uploader } from '../../hub/upload.js';
import { openFile } from '../../io/node/file.js';
import { isPermissive } from '../../models/license.js';
import { summarize } from '../../wpk/summary.js';
import { containerIn, openFileNamed } from '../decompress.js';
import { beginsAsGguf } from '../quantize/summary.js';
import { statedLicense } from '../stated-license.js';
import { verify } from '../verify.js';
import { CARD_MARK, modelCard } from './card.js';
import { checkGguf, planGgufPush } from './gguf.js';
import type { PushPlan } from './plan.js';

/** Result of an upload. */
export interface Pushed {
  /** The address of the commit. */
  readonly url: string;
  /** False if the repository has a card written by a person, which is left unchanged. */
  readonly wroteCard: boolean;
}

/**
 * Plans an upload from the file alone: nothing is sent.
 * @throws {InputError} when the file is not a valid .wpk or GGUF file, or the name not one of a repository.
 */
export async function planPush(path: string, repository: string): Promise<PushPlan> {
  const address = parseAddress(repository);
  if (address?.kind !== 'hub' || address.file !== undefined || repository.includes('@'))
    throw new InputError(`expected user/name as on the Hub, found ${JSON.stringify(repository)}`);
  const source = await openFileNamed(path);
  return (await beginsAsGguf(source))
    ? planGgufPush(path, repository, source)
    : planWpk(path, repository, source);
}

async function planWpk(path: string, repository: string, source: ByteSource): Promise<PushPlan> {
  const container = await containerIn(source);
  try {
    const sideFiles = container.directory.sideFiles.map((stored) => ({
      name: stored.name,
      lengthBytes: stored.length,
      read: () => container.readFile(stored),
    }));
    const license = await statedLicense(sideFiles);
    const texts: Record<string, string> = {};
    for (const side of sideFiles)
      if (/^(licen[sc]e|notice|copying)/i.test(side.name))
        texts[side.name] = new TextDecoder().decode(await side.read());
    const summary = summarize(container);
    const file = basename(path);
    return {
      repository,
      file,
      card: modelCard(repository, file, summary, license),
      license: { id: license.id, from: license.from },
      permissive: isPermissive(license.id),
      summary,
      texts,
    };
  } finally {
    await container.close();
  }
}

/**
 * Uploads a .wpk or GGUF file with its card to the Hub, after verifying all of it. A card written by a person is left unchanged.
 * @throws {InputError} without a token, and when the Hub refuses. @throws {IntegrityError} when the file is damaged.
 * @throws the signal's reason once it is aborted; nothing is committed then.
 */
export async function push(path: string, plan: PushPlan, options: UploadOptions = {}): Promise<Pushed> {
  const account = await uploader();
  const source = await openFile(path);
  try {
    const { repository, file, card, texts, summary } = plan;
    await ('format' in summary ? checkGguf(source, summary, options) : checkWpk(path, options));
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

/** Decodes all of a .wpk. @throws {IntegrityError} */
async function checkWpk(path: string, { onProgress, signal }: UploadOptions): Promise<void> {
  const { good, problems } = await verify(path, { onProgress, signal });
  if (!good) throw new IntegrityError(problems[0] ?? 'is damaged', { file: path });
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
