/** A blank line between paragraphs. */
const PARAGRAPH = /\r?\n[^\S\n]*\r?\n/;
/** An end of a sentence: its mark and quotes, then white space before a capital, a digit or a quote; or a full stop of East Asian text. */
const END = /(?<=[.!?…]["'”’)\]]*)\s+(?=["'“‘([]*[\p{Lu}\p{N}])|(?<=[。！？][”」』）]*)(?=[^”」』）])/u;
/** What ends with a full stop within a sentence: titles, and initials. */
const ABBREVIATION = /(^|[\s(“‘"'])(Mr|Mrs|Ms|Dr|St|Prof|Rev|Gen|Col|Capt|No|vs|etc|e\.g|i\.e|\p{Lu})\.$/u;

/**
 * Cuts a text into sentences. A text of several lines without blank lines has one sentence per line; any other is prose, whose
 * paragraphs are between blank lines. Equal texts give equal sentences on every machine.
 */
export function sentencesOf(text: string): string[] {
  const lines = text.split('\n').map((line) => line.trim());
  const filled = lines.filter((line) => HAS_WORD.test(line));
  const isProse = PARAGRAPH.test(text.trim()) || filled.length === 1;
  if (!isProse) return filled;
  return text.split(PARAGRAPH).flatMap((paragraph) => cut(paragraph.trim().replace(/\s+/g, ' ')));
}

/** Ornaments and rules are no sentences. */
const HAS_WORD = /[\p{L}\p{N}]/u;

function cut(paragraph: string): string[] {
  const sentences: string[] = [];
  let begun = '';
  for (const piece of paragraph.split(END)) {
    begun = begun ? `${begun} ${piece}` : piece;
    if (ABBREVIATION.test(begun)) continue;
    sentences.push(begun);
    begun = '';
  }
  if (begun) sentences.push(begun);
  return sentences.filter((sentence) => HAS_WORD.test(sentence));
}
