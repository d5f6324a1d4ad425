// Constants shared by the kernels and TypeScript. Both compilers read this file, so it holds only integers without types. Every
// module exports all of them again and loader.ts compares them, because embedded kernels may be older than this file.

/** The four rANS states of 32 bits at the head of a stream. */
export const STATES_BYTES = 16;

/** Bytes per entry of a rANS encoder table: docs/lossless.md, "Entropy coder". */
export const ENCODER_ENTRY_BYTES = 16;

// ---- lossless --------------------------------------------------------------------------------------------------------

/** Frequencies of a table sum to 2^14. With 12 bits the rare symbols of an 11-bit alphabet cost 0.7 % of the stream. */
export const SYMBOL_SCALE_BITS = 14;

/** Bytes per symbol of a rANS decoder table: frequency, start and value, 16 bits each. */
export const DECODER_ENTRY_BYTES = 8;

/** Streams of at least this many symbols have 32 states: docs/lossless.md, "Entropy coder". */
export const WIDE_SYMBOLS = 1 << 18;

/** States of such a stream, of 32 bits each. */
export const WIDE_STATES = 32;

// ---- lossless, against a base ----------------------------------------------------------------------------------------

/** Frequencies of the symbols of differences sum to 2^12: a slot's frequency, offset and symbol then fit into 32 bits. */
export const DIFFERENCE_SCALE_BITS = 12;

/** Symbols of differences of ordinals: CENTER plus the difference without low bits; an exact zero, where there are low bits; an escape. */
export const DIFFERENCE_CENTER = 128;
export const DIFFERENCE_ZERO = 255;
export const DIFFERENCE_ESCAPE = 0;

/** Maximum number of classes of differences in a block. */
export const DIFFERENCE_CLASSES = 32;

// ---- trellis: spec/wpk-v1.md, "Trellis blocks" ---------------------------------------------------------------------------

/** Rows per block. Every column's state is 0 at the first row of a block, so each block can be decoded alone. */
export const ROWS_PER_BLOCK = 256;

/** Number of contexts. A context is an expected magnitude in steps, in quarter octaves: context 24 expects 1, context 63 about 860. */
export const CONTEXTS = 64;

/** Indices lie between -MAX_INDEX and MAX_INDEX. */
export const MAX_INDEX = 1000;

/** Number of indices. Arrays with an entry per index store that of index k at k + MAX_INDEX. */
export const INDICES = 2 * MAX_INDEX + 1;

/** Number of tables: one per context and quantizer, at `context * 2 + quantizer`. */
export const TABLES = CONTEXTS * 2;

/** Bits of the token, plus 64, that follow an escape. */
export const TOKEN_BITS = 7;

/** Tokens per table: -63 to 63, and the escape at -64. */
export const TOKENS = 1 << TOKEN_BITS;

/** Frequencies of a table sum to 2^12: a slot's frequency, offset and token then fit into 32 bits. */
export const TOKEN_SCALE_BITS = 12;

/** Kinds of decoded elements: the indices themselves (I16), or values. */
export const KIND_I16 = 0;
export const KIND_F32 = 1;
export const KIND_F16 = 2;
export const KIND_BF16 = 3;

// ---- quantizer -------------------------------------------------------------------------------------------------------

/** Maximum number of columns quantized by one call. */
export const PANEL_COLUMNS = 128;

/** Maximum number of neighbors that share a scale, and of levels. */
export const MAX_GROUP = 32;
export const MAX_LEVELS = 256;
