/** Returns the lowest address that the caller's buffers may use. */
export function heapBase(): usize {
  return __heap_base;
}
