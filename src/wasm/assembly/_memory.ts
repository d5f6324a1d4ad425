/** Where the caller's buffers may begin. */
export function heapBase(): usize {
  return __heap_base;
}
