declare module 'vitest' {
  interface TaskMeta {
    /** What a skipped test lacks. */
    needs?: string;
  }
}

/** Options of a test or a group that is skipped where a condition does not hold; the reporter prints what it needs. */
export const needs = (condition: unknown, what: string) =>
  condition ? {} : { skip: true, meta: { needs: what } };
