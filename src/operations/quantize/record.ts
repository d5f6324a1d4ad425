import { parseJsonObject } from '../../core/json.js';
import type { GgufValue } from '../../models/gguf/header.js';
import type { GgufEntry } from '../../models/gguf/header-writer.js';

const GENERATOR = 'weightpress.generator';
const CHOICE = 'weightpress.types';
const CALIBRATION = 'weightpress.calibration';
const QUALITY = 'weightpress.quality';

/** What a quantized file says of itself, beside its tensors. */
export interface QuantizationRecord {
  /** The program and its version. */
  readonly generator: string;
  /** What was asked for: a mixture, or a budget. */
  readonly types: string;
  /** What decided the codes: `text` and its `sha256` and `tokens`, or an `imatrix`; undefined for plain rounding. */
  readonly calibration: Readonly<Record<string, unknown>> | undefined;
  /** The measured loss, as in a .wpk; undefined if not measured. */
  readonly quality: Readonly<Record<string, unknown>> | undefined;
}

/**
 * Returns the entries of a record. Texts are JSON; quality is padded with spaces, so that it can be filled in when the file was measured.
 * @param qualityBytes room for the quality; 0 for a file that is not measured. @throws {RangeError} if that is not enough.
 */
export function recordEntries(record: QuantizationRecord, qualityBytes: number): GgufEntry[] {
  const text = (key: string, value: string): GgufEntry => ({ key, type: 'string', value });
  const { generator, types, calibration, quality } = record;
  const entries = [text(GENERATOR, generator), text(CHOICE, types)];
  if (calibration) entries.push(text(CALIBRATION, JSON.stringify(calibration)));
  if (!qualityBytes) return entries;
  const measured = quality ? JSON.stringify(quality) : '';
  const missing = qualityBytes - new TextEncoder().encode(measured).length;
  return [...entries, text(QUALITY, measured + ' '.repeat(missing))];
}

/** Reads the record of a file; undefined for one that was not quantized here. @throws {InputError} when it is malformed. */
export function readRecord(
  metadata: ReadonlyMap<string, GgufValue>,
  file: string,
): QuantizationRecord | undefined {
  const generator = metadata.get(GENERATOR);
  if (typeof generator !== 'string') return undefined;
  const json = (key: string) => {
    const value = metadata.get(key);
    if (typeof value !== 'string' || !value.trim()) return undefined;
    return parseJsonObject(new TextEncoder().encode(value), `${file}, ${key}`).value;
  };
  return {
    generator,
    types: String(metadata.get(CHOICE) ?? ''),
    calibration: json(CALIBRATION),
    quality: json(QUALITY),
  };
}
