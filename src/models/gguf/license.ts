import type { License } from '../license.js';
import type { GgufHeader, GgufValue } from './header.js';
import type { GgufEntry } from './header-writer.js';

const LICENSE = 'general.license';
const NAME = 'general.license.name';
const LINK = 'general.license.link';

/** Matches identifiers as the Hub has them, which need no quotes in YAML. */
const IDENTIFIER = /^[\w.-]{1,100}$/;
/** Matches an address, or the name of a file beside the card. */
const PLACE = /^[\w./:?&=%~#@+-]{1,1000}$/;

/** Returns the entries of a license. @param fields `license`, `license_name` and `license_link` of a card: names of licenses of their own. */
export function licenseEntries(
  { id }: License,
  { license, license_name: name, license_link: link }: Readonly<Record<string, unknown>>,
): GgufEntry[] {
  if (id === 'unknown') return [];
  const isOwn = license === 'other' && typeof name === 'string';
  const entry = (key: string, value: unknown): GgufEntry[] =>
    typeof value === 'string' ? [{ key, type: 'string', value }] : [];
  return isOwn
    ? [...entry(LICENSE, license), ...entry(NAME, name), ...entry(LINK, link)]
    : entry(LICENSE, id);
}

/** Returns the license that a file states, and the fields that state it in a card's front matter; those of a text that is no identifier are empty. */
export function licenseIn({ metadata }: Pick<GgufHeader, 'metadata'>): License & {
  readonly fields: Readonly<Record<string, string | string[]>>;
} {
  const stated = textOf(metadata.get(LICENSE));
  if (stated === undefined) return { id: 'unknown', from: undefined, fields: {} };
  const ids = stated.split(', ');
  if (!ids.every((id) => IDENTIFIER.test(id))) return { id: 'unknown', from: LICENSE, fields: {} };
  const name = textOf(metadata.get(NAME));
  const link = textOf(metadata.get(LINK));
  if (stated !== 'other' || name === undefined || !IDENTIFIER.test(name))
    return { id: stated, from: LICENSE, fields: { license: ids.length > 1 ? ids : stated } };
  const fields = { license: stated, license_name: name };
  return {
    id: name,
    from: LICENSE,
    fields: link && PLACE.test(link) ? { ...fields, license_link: link } : fields,
  };
}

const textOf = (value: GgufValue | undefined) => (typeof value === 'string' && value ? value : undefined);
