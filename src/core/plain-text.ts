/** Spaces that end or move lines. */
const BREAKS = /[\t-\r\u0085\u2028\u2029]+/g;
/** What moves, recolors or reorders text, or is there without being seen: C0, DEL, C1, bidirectional controls, invisible characters. */
const UNSEEN = /[\p{Cc}\p{Bidi_Control}\u2028\u2029\u200B\u2060-\u2064\uFEFF\u{E0000}-\u{E007F}]/gu;

/** Text from a file or a server as one line that does nothing but be read: what stands for more than itself is shown as U+FFFD. */
export function plainLine(text: string): string {
  return plainText(text.replaceAll(BREAKS, ' '));
}

/** The same, its line breaks and tabs kept. */
export function plainText(text: string): string {
  return text.replaceAll(UNSEEN, (character) => (/[\t\n]/.test(character) ? character : '\uFFFD'));
}

/** The same as one line of Markdown that is nothing but text: no markup, no HTML, no cell of a table. */
export function plainMarkdown(text: string): string {
  const html: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;' };
  return plainLine(text)
    .replaceAll(/[\\`*_~[\]|]/g, '\\$&')
    .replaceAll(/[&<>]/g, (character) => html[character]!);
}

/** JSON in which everything that is not plainly itself is escaped. */
export function plainJson(json: string): string {
  return json.replaceAll(UNSEEN, (character) =>
    character === '\n'
      ? character
      : character.replaceAll(/[\s\S]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`),
  );
}
