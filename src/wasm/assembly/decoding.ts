// What pages load of lossless.ts: they decode, and download no kernels for encoding. scripts/bundle.js puts it in place of the whole.
export * from '../constants';
export { heapBase } from './_memory';
export {
  addDifferences, base, baseClasses, baseDecoders, baseEscapesEnd, baseLowBitsEnd, baseLows, baseTables, bins, buckets, buildBaseDecoder,
  buildDecoder, checksum, classes, cursors, decode, decodeFromBase, elements, endedAt, entries, frequencies, fromBaseEndedAt, heads, lanes,
  levels, mergeContexts, mergeFloats, mergePlane, places, queues, reciprocals, scatterBytes, setBaseBits, setRecords, setWalk, shiftSymbols,
  slots, startDecoding, startFromBase, symbols, tails, updates, values, wideSlots,
} from './lossless';
