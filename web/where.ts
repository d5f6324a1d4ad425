// What the text in the address field leads to.
import { InputError } from '../dist/core/errors.js';
import { type Address, parseAddress } from '../dist/hub/address.js';
import { nameOnHub } from '../dist/hub/bare-names.js';

const HUB_FILE = /^https:\/\/huggingface\.co\/([^/]+\/[^/]+)\/(?:blob|resolve|raw)\/([^/]+)\/([^?#]+)/;
const HUB_MODEL = /^https:\/\/huggingface\.co\/([^/?#]+\/[^/?#]+)(?:\/tree\/([^/?#]+))?\/?(?:[?#].*)?$/;

/**
 * Finds what is meant: a model or a file on the Hub, by its name or its page's address; an address; or a file beside this page.
 * @throws {InputError} for what cannot be an address.
 */
export function placeOf(text: string): Address {
  const trimmed = text.trim();
  const [, filed, branch, path] = HUB_FILE.exec(trimmed) ?? [];
  if (filed) return { kind: 'hub', repository: filed, revision: branch!, file: decodeURIComponent(path!) };
  const [, repository, revision = 'main'] = HUB_MODEL.exec(trimmed) ?? [];
  if (repository) return { kind: 'hub', repository, revision, file: undefined };
  const address = parseAddress(nameOnHub(trimmed) ?? trimmed);
  if (address) return address;
  if (!URL.canParse(trimmed, location.href)) throw new InputError('not an address', { file: trimmed });
  return { kind: 'url', url: new URL(trimmed, location.href).href };
}
