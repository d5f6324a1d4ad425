/** Parts of a path, and bytes of a part and of all of it: what file systems in use can hold. */
const MAX_PARTS = 64;
const MAX_PART_BYTES = 255;
const MAX_PATH_BYTES = 4096;

/** Control characters, and those that turn the direction of text: what they name is not what is seen. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
const UNSEEN = /[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/;
/** Names that are devices on Windows, whatever the extension. */
const DEVICE = /^(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])\s*(\.|$)/i;
/** What no name on Windows has: a colon would write to a hidden stream of another file. */
const NOT_ON_WINDOWS = /[<>:"|?*]|[. ]$/;

/**
 * Returns what is wrong with a path of a file inside of a folder, undefined for nothing. A sound one is relative, its parts separated
 * by `/`, and stays inside of the folder on every system. Names found inside files must pass before they touch the disk.
 */
export function problemOfPath(path: unknown): string | undefined {
  if (typeof path !== 'string') return 'is not a text';
  const parts = path.split('/');
  if (parts.length > MAX_PARTS) return `has more than ${MAX_PARTS} parts`;
  if (utf8Length(path) > MAX_PATH_BYTES) return `is longer than ${MAX_PATH_BYTES} bytes`;
  for (const part of parts) {
    if (part === '' || part === '.' || part === '..') return 'leaves its folder, or has an empty part';
    if (part.includes('\\')) return 'has a backslash, which separates folders on Windows';
    if (UNSEEN.test(part)) return 'has control characters';
    if (!isWellFormed(part)) return 'is not valid Unicode';
    if (DEVICE.test(part)) return 'is the name of a device on Windows';
    if (utf8Length(part) > MAX_PART_BYTES) return `has a part longer than ${MAX_PART_BYTES} bytes`;
  }
  return undefined;
}

/** True for a path in which {@link problemOfPath} finds nothing wrong. */
export function isPlainPath(path: unknown): path is string {
  return problemOfPath(path) === undefined;
}

/** True when files of this name can be made on a system; on Windows some that others have cannot. */
export function isRestorable(path: string, platform: string): boolean {
  return platform !== 'win32' || !path.split('/').some((part) => NOT_ON_WINDOWS.test(part));
}

/** Returns the last part of a path or an address. */
export function lastName(path: string): string {
  return path.slice(Math.max(path.lastIndexOf('/'), path.lastIndexOf('\\')) + 1);
}

/** True unless a surrogate stands alone: such a name becomes another one when it is written as UTF-8. */
function isWellFormed(text: string): boolean {
  return !/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/.test(text);
}

function utf8Length(text: string): number {
  return new TextEncoder().encode(text).length;
}
