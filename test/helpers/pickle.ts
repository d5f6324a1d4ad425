/** Writes values as a pickle of protocol 2, with the operations that Python would use. */
export function pickle(value: unknown): Uint8Array {
  return new Uint8Array([0x80, 2, ...operations(value), 0x2e]);
}

/** Operations by hand: text is its bytes, numbers are bytes. */
export function raw(...parts: readonly (string | number | Uint8Array)[]): Uint8Array {
  return new Uint8Array(
    parts.flatMap((part) =>
      typeof part === 'string'
        ? [...Buffer.from(part, 'latin1')]
        : typeof part === 'number'
          ? [part]
          : [...part],
    ),
  );
}

function operations(value: unknown): number[] {
  if (value === null) return [...Buffer.from('N')];
  if (typeof value === 'boolean') return [value ? 0x88 : 0x89];
  if (typeof value === 'string') {
    const bytes = Buffer.from(value);
    return [...Buffer.from('X'), ...new Uint8Array(Uint32Array.of(bytes.length).buffer), ...bytes];
  }
  if (typeof value === 'number') {
    if (Number.isInteger(value) && Math.abs(value) < 2 ** 31)
      return [...Buffer.from('J'), ...new Uint8Array(Int32Array.of(value).buffer)];
    const bytes = Buffer.alloc(8);
    bytes.writeDoubleBE(value);
    return [...Buffer.from('G'), ...bytes];
  }
  if (Array.isArray(value)) return [...Buffer.from(']('), ...value.flatMap(operations), ...Buffer.from('e')];
  return [
    ...Buffer.from('}('),
    ...Object.entries(value as object).flatMap(([key, item]) => [...operations(key), ...operations(item)]),
    ...Buffer.from('u'),
  ];
}
