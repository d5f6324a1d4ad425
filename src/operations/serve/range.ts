/** A part of a file. */
export interface Part {
  readonly start: number;
  /** Exclusive. */
  readonly end: number;
}

/**
 * Parses a Range header. Returns undefined for the whole file: without a header, for one that is malformed, and for several ranges,
 * which servers may ignore. Returns `unsatisfiable` for a range behind the end.
 */
export function parseRange(header: string | undefined, length: number): Part | 'unsatisfiable' | undefined {
  const [, first, last] = /^bytes=(\d*)-(\d*)$/i.exec(header?.replaceAll(' ', '') ?? '') ?? [];
  if (first === undefined || last === undefined || (!first && !last)) return;
  if (!first) {
    const count = Math.min(Number(last), length);
    return count ? { start: length - count, end: length } : 'unsatisfiable';
  }
  const start = Number(first);
  if (last && Number(last) < start) return;
  if (start >= length) return 'unsatisfiable';
  return { start, end: last ? Math.min(length, Number(last) + 1) : length };
}

/** Returns whether a list of entity tags, as in If-None-Match, has this one. */
export function hasTag(header: string | undefined, tag: string): boolean {
  const tags = header?.split(',').map((each) => each.trim().replace(/^W\//, '')) ?? [];
  return tags.includes(tag) || tags.includes('*');
}
