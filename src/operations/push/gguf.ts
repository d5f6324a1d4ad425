import { basename } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { ByteSource } from '../../core/byte-source.js';
import { InputError } from '../../core/errors.js';
import { Meter, type RunOptions } from '../../core/progress.js';
import { checkFinite, tensorBytes } from '../../models/gguf/finite.js';
import { readGgufHeader } from '../../models/gguf/header.js';
import { licenseIn } from '../../models/gguf/license.js';
import { refusePart } from '../../models/gguf/model.js';
import { isPermissive } from '../../models/license.js';
import { type GgufSummary, summarizeGguf } from '../quantize/summary.js';
import { ggufCard } from './gguf-card.js';
import type { PushPlan } from './plan.js';

/** Plans the upload of a GGUF file from its header. The source is closed. @throws {InputError} for a malformed file, and a part of a split one. */
export async function planGgufPush(path: string, repository: string, source: ByteSource): Promise<PushPlan> {
  try {
    const header = await readGgufHeader(source);
    refusePart(header, source.name);
    const { fields, ...license } = licenseIn(header);
    const summary = summarizeGguf(header, source);
    const file = basename(path);
    const baseAddress = header.metadata.get('general.base_model.0.repo_url');
    return {
      repository,
      file,
      card: ggufCard(repository, file, summary, { ...license, fields }, baseAddress),
      license,
      permissive: isPermissive(license.id),
      summary,
      texts: {},
    };
  } finally {
    await source.close();
  }
}

/**
 * Checks a GGUF file as far as the format allows, which has no checksums: its header is the one that was planned with, all tensors are in the
 * file, and floats and scales are finite. @throws {InputError}
 */
export async function checkGguf(
  source: ByteSource,
  planned: GgufSummary,
  options: RunOptions,
): Promise<void> {
  const header = await readGgufHeader(source);
  const { file } = planned;
  if (!isDeepStrictEqual({ ...summarizeGguf(header, source), file }, planned))
    throw new InputError('changed since the upload was planned', { file: source.name });
  const meter = new Meter(options, 'verifying', tensorBytes(header));
  let done = 0;
  const onBytes = (bytes: number) => {
    done += bytes;
    meter.reach(done);
  };
  await checkFinite(header, source, onBytes, options.signal);
}
