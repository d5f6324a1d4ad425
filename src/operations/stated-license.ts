import { parse } from 'yaml';
import type { SideFile } from '../core/model.js';
import { findLicense, frontMatterOf, type License } from '../models/license.js';

/** A license, and the fields of a card's front matter that state it. */
export interface StatedLicense extends License {
  /** `license`, `license_name`, `license_link`; empty for an unknown one. */
  readonly fields: Readonly<Record<string, unknown>>;
}

/** Returns the license of a model, with the fields of its own card where that states it. */
export async function statedLicense(sideFiles: readonly SideFile[]): Promise<StatedLicense> {
  const license = await findLicense(sideFiles);
  const card = sideFiles.find(({ name }) => name === 'README.md');
  const said = card && license.from === card.name ? licenseFields(await card.read()) : {};
  const fields = license.from !== card?.name && license.id !== 'unknown' ? { license: license.id } : said;
  return { ...license, fields };
}

/** Returns the license fields of a card. */
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
