/** What a user should know though nothing is wrong: said by whoever shows it, as the command line does on standard error. */
export const NOTICES = { say: (_text: string): void => {} };
