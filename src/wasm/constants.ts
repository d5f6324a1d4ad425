// Numbers that kernels and TypeScript share. Both compilers read this file: integers without types, nothing else. Every
// module exports all of them again, and loader.ts compares: embedded kernels may be older than this file.

/** The four rANS states of 32 bits at the head of a stream. */
export const STATES_BYTES = 16;

/** An entry of a table that rANS encodes by: docs/lossless.md, "Entropy coder". */
export const ENCODER_ENTRY_BYTES = 16;

// ---- lossless --------------------------------------------------------------------------------------------------------

/** Frequencies of a table sum to 2^14. With 12 bits the rare symbols of an 11-bit alphabet cost 0.7 % of the stream. */
export const SYMBOL_SCALE_BITS = 14;

/** A decoder's entry of a symbol: frequency, start and value, 16 bits each. */
export const DECODER_ENTRY_BYTES = 8;

// ---- trellis: spec/wpk-v1.md, "Trellis blocks" ---------------------------------------------------------------------------

/** Rows of a block: every column's state is 0 at the first row of each block, so that blocks decode alone. */
export const ROWS_PER_BLOCK = 256;

/** Contexts are expected magnitudes in steps, by quarter octaves: context 24 expects 1, context 63 about 860. */
export const CONTEXTS = 64;

/** Indices lie between -MAX_INDEX and MAX_INDEX. */
export const MAX_INDEX = 1000;

/** Index k stands at k + MAX_INDEX where a number for every index is stored. */
export const INDICES = 2 * MAX_INDEX + 1;

/** Tables: one for each context and quantizer, `context * 2 + quantizer`. */
export const TABLES = CONTEXTS * 2;

/** An escape is followed by the token, plus 64, in so many bits. */
export const TOKEN_BITS = 7;

/** Tokens of a table: -63 to 63, and the escape in place of -64. */
export const TOKENS = 1 << TOKEN_BITS;

/** Frequencies of a table sum to 2^12: a slot's frequency, offset and token then fit 32 bits. */
export const TOKEN_SCALE_BITS = 12;

/** Elements that indices are decoded to: themselves, or values. */
export const KIND_I16 = 0;
export const KIND_F32 = 1;
export const KIND_F16 = 2;
export const KIND_BF16 = 3;

// ---- quantizer -------------------------------------------------------------------------------------------------------

/** Columns that are quantized by one call. */
export const PANEL_COLUMNS = 128;
