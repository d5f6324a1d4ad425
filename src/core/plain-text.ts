/** White space other than spaces: tabs and line breaks. */
const BREAKS = /[\t-\r\u0085\u2028\u2029]+/g;
/** Characters that move the cursor, color or reorder text, or are invisible: C0, DEL, C1, bidirectional controls and others. */
const UNSEEN = /[\p{Cc}\p{Bidi_Control}\u2028\u2029\u200B\u2060-\u2064\uFEFF\u{E0000}-\u{E007F}]/gu;

/** Returns text from a file or server as one harmless line: control and invisible characters become U+FFFD. */
export function plainLine(text: string): string {
  return plainText(text.replaceAll(BREAKS, ' '));
}

/** Returns harmless text as {@link plainLine}, with its line breaks and tabs. */
export function plainText(text: string): string {
  return text.replaceAll(UNSEEN, (character) => (/[\t\n]/.test(character) ? character : '\uFFFD'));
}

/** Returns text as one harmless line of Markdown: markup, HTML and table separators are escaped. */
export function plainMarkdown(text: string): string {
  const html: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;' };
  return plainLine(text)
    .replaceAll(/[\\`*_~[\]|]/g, '\\$&')
    .replaceAll(/[&<>]/g, (character) => html[character]!);
}

/** Escapes control and invisible characters in JSON. */
export function plainJson(json: string): string {
  return json.replaceAll(UNSEEN, (character) =>
    character === '\n'
      ? character
      : character.replaceAll(/[\s\S]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`),
  );
}
