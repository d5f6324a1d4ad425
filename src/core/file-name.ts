/** Limits of common file systems: parts of a path, bytes of a part, bytes of the whole path. */
const MAX_PARTS = 64;
const MAX_PART_BYTES = 255;
const MAX_PATH_BYTES = 4096;

/** Control characters and those that change the direction of text: a name with them is not what it looks like. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: it finds control characters to refuse them
const UNSEEN = /[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/;
/** Device names on Windows, with any extension. */
const DEVICE = /^(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])\s*(\.|$)/i;
/** Characters that names on Windows cannot have; a colon would write to an alternate stream of another file. */
const NOT_ON_WINDOWS = /[<>:"|?*]|[. ]$/;

/**
 * Returns what is wrong with the path of a file inside a folder; undefined if nothing is. A valid path is relative, its parts separated
 * by `/`, and stays inside the folder on every system. Names found inside files are checked before they touch the disk.
 */
export function problemOfPath(path: unknown): string | undefined {
  if (typeof path !== 'string') return 'is not a string';
  const parts = path.split('/');
  if (parts.length > MAX_PARTS) return `has more than ${MAX_PARTS} parts`;
  if (utf8Length(path) > MAX_PATH_BYTES) return `is longer than ${MAX_PATH_BYTES} bytes`;
  for (const part of parts) {
    if (part === '' || part === '.' || part === '..') return 'leaves its folder or has an empty part';
    if (part.includes('\\')) return 'has a backslash, which separates folders on Windows';
    if (UNSEEN.test(part)) return 'has control characters';
    if (!isWellFormed(part)) return 'is not valid Unicode';
    if (DEVICE.test(part)) return 'is a device name on Windows';
    if (utf8Length(part) > MAX_PART_BYTES) return `has a part longer than ${MAX_PART_BYTES} bytes`;
  }
  return undefined;
}

/** Returns whether {@link problemOfPath} finds nothing wrong with a path. */
export function isPlainPath(path: unknown): path is string {
  return problemOfPath(path) === undefined;
}

/** Returns whether a platform can create files of this name; Windows excludes some. */
export function isRestorable(path: string, platform: string): boolean {
  return platform !== 'win32' || !path.split('/').some((part) => NOT_ON_WINDOWS.test(part));
}

/** Returns the last part of a path or an address. */
export function lastName(path: string): string {
  return path.slice(Math.max(path.lastIndexOf('/'), path.lastIndexOf('\\')) + 1);
}

/** Returns whether text has no lone surrogates, which UTF-8 cannot represent. */
function isWellFormed(text: string): boolean {
  return !/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/.test(text);
}

function utf8Length(text: string): number {
  return new TextEncoder().encode(text).length;
}
