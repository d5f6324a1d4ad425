/**
 * True for a name that stays inside the folder it is joined to, on every system: no separator, no drive, no
 * control character, not hidden, not `..`. Names found inside files must pass before they touch the disk.
 */
export function isPlainFileName(name: unknown): name is string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  return typeof name === 'string' && /^[^\\/:\x00-\x1f\x7f]{1,255}$/.test(name) && !name.startsWith('.');
}

/** The last part of a path or an address. */
export function lastName(path: string): string {
  return path.slice(Math.max(path.lastIndexOf('/'), path.lastIndexOf('\\')) + 1);
}
