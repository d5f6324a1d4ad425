/** A unigram model of tokenizer.json. */
export interface UnigramDefinition {
  readonly vocab: readonly (readonly [text: string, score: number])[];
  readonly unk_id: number;
  readonly byte_fallback?: boolean;
}

/** How much less probable an unknown character is than the least probable piece, as in SentencePiece. */
const UNKNOWN_PENALTY = 10;

/** Splits words into the pieces with the largest sum of scores, by Viterbi's algorithm over a trie. */
export class Unigram {
  /** Edges of the trie: `node * 65536 + unit` of UTF-16 to the next node; node 0 is the root. */
  private readonly edges = new Map<number, number>();
  /** Id of the piece that ends at a node; -1 for none. */
  private readonly ids: number[] = [-1];
  private readonly scores: Float64Array;
  private readonly unknownScore: number;
  private readonly bytes: readonly string[] | undefined;

  constructor(private readonly definition: UnigramDefinition) {
    const { vocab, unk_id, byte_fallback } = definition;
    this.scores = Float64Array.from(vocab, ([, score]) => score);
    this.unknownScore = this.scores.reduce((a, b) => Math.min(a, b), 0) - UNKNOWN_PENALTY;
    this.bytes = byte_fallback === true ? BYTES : undefined;
    const skipped = new Set(this.bytes);
    for (const [id, [text]] of vocab.entries())
      if (id !== unk_id && !skipped.has(text)) this.insert(text, id);
  }

  /** Returns the pieces of a word; what has no piece is one unknown text, or its bytes. */
  split(word: string): string[] {
    const { starts, ids } = this.bestPieces(word);
    const pieces: string[] = [];
    let unknownEnd = -1;
    const finishUnknown = (start: number) => {
      if (unknownEnd >= 0) pieces.push(...[...this.unknownPieces(word.slice(start, unknownEnd))].reverse());
      unknownEnd = -1;
    };
    for (let end = word.length; end > 0; end = starts[end]!) {
      if (ids[end] === this.definition.unk_id) {
        if (unknownEnd < 0) unknownEnd = end;
      } else {
        finishUnknown(end);
        pieces.push(this.definition.vocab[ids[end]!]![0]);
      }
    }
    finishUnknown(0);
    return pieces.reverse();
  }

  /** Returns start and id of the last piece of the best split of every prefix of a word. */
  private bestPieces(word: string): { starts: Int32Array; ids: Int32Array } {
    const best = new Float64Array(word.length + 1).fill(Number.NEGATIVE_INFINITY);
    const starts = new Int32Array(word.length + 1);
    const ids = new Int32Array(word.length + 1);
    const offer = (start: number, end: number, id: number, score: number) => {
      if (best[start]! + score <= best[end]!) return;
      best[end] = best[start]! + score;
      starts[end] = start;
      ids[end] = id;
    };
    best[0] = 0;
    for (let start = 0; start < word.length; ) {
      const next = start + (word.codePointAt(start)! > 0xffff ? 2 : 1);
      let hasCharacter = false;
      let node: number | undefined = 0;
      for (let end = start; end < word.length; ) {
        node = this.edges.get(node * 65536 + word.charCodeAt(end++));
        if (node === undefined) break;
        const id = this.ids[node]!;
        if (id < 0) continue;
        offer(start, end, id, this.scores[id]!);
        hasCharacter ||= end === next;
      }
      if (!hasCharacter) offer(start, next, this.definition.unk_id, this.unknownScore);
      start = next;
    }
    return { starts, ids };
  }

  private unknownPieces(text: string): readonly string[] {
    const { bytes } = this;
    return bytes ? Array.from(new TextEncoder().encode(text), (byte) => bytes[byte]!) : [text];
  }

  private insert(text: string, id: number): void {
    let node = 0;
    for (let i = 0; i < text.length; i++) {
      const edge = node * 65536 + text.charCodeAt(i);
      const next = this.edges.get(edge);
      node = next ?? this.ids.push(-1) - 1;
      if (next === undefined) this.edges.set(edge, node);
    }
    if (node) this.ids[node] = id;
  }
}

/** The texts of the pieces that stand for bytes. */
const BYTES = Array.from(
  { length: 256 },
  (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`,
);
