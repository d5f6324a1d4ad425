/** Receiver of notices that are not errors. The command line sets it to print on standard error. */
export const NOTICES = { show: (_text: string): void => {} };
