import { createHash } from 'node:crypto';
import { InputError } from '../../core/errors.js';
import { kindOf, parseJsonObject } from '../../core/json.js';
import type { GgufValue } from '../../models/gguf/header.js';
import type { GgufEntry } from '../../models/gguf/header-writer.js';
import { measuredLoss } from '../../wpk/summary.js';

const GENERATOR = 'weightpress.generator';
const SOURCE = 'weightpress.source';
const CHOICE = 'weightpress.types';
const TENSORS = 'weightpress.tensors';
const CALIBRATION = 'weightpress.calibration';
const QUALITY = 'weightpress.quality';

/** Limits far above what is written: of names, and of JSON. */
const MAX_CHARACTERS = 2 ** 14;
const MAX_JSON_CHARACTERS = 2 ** 16;

/** What a quantized file says of itself, beside its tensors. */
export interface QuantizationRecord {
  /** The program and its version. */
  readonly generator: string;
  /** The quantized model: the name of a folder or file, or `user/name@commit`; undefined where the file does not say. */
  readonly source: string | undefined;
  /** What was asked for: a mixture, or a budget. */
  readonly types: string;
  /** Digest of the names and types of the tensors that were written; undefined where the file does not say. */
  readonly tensors: string | undefined;
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
  const { generator, source, types, tensors, calibration, quality } = record;
  const entries = [text(GENERATOR, generator), text(CHOICE, types)];
  if (source !== undefined) entries.push(text(SOURCE, source));
  if (tensors !== undefined) entries.push(text(TENSORS, tensors));
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
  const text = (key: string, max = MAX_CHARACTERS) => {
    const value = metadata.get(key);
    if (value === undefined || typeof value === 'string') return checkLength(key, value, max, file);
    throw new InputError(`${key}: expected text, found ${kindOf(value)}`, { file });
  };
  const json = (key: string) => {
    const value = text(key, MAX_JSON_CHARACTERS)?.trim();
    return value ? parseJsonObject(new TextEncoder().encode(value), `${file}, ${key}`).value : undefined;
  };
  const generator = text(GENERATOR);
  if (generator === undefined) return undefined;
  const quality = json(QUALITY);
  if (quality && !measuredLoss(quality))
    throw new InputError(`${QUALITY}: expected a measured loss, found other fields or values`, { file });
  return {
    generator,
    source: text(SOURCE),
    types: text(CHOICE) ?? '',
    tensors: text(TENSORS),
    calibration: json(CALIBRATION),
    quality,
  };
}

/**
 * Returns a SHA-256 of the names and types of a file's tensors. Programs that quantize a file again copy its metadata: by this it is seen that
 * a record is not of these tensors.
 */
export function digestOfTypes(tensors: Iterable<readonly [name: string, type: string]>): string {
  const lines = [...tensors].map((tensor) => JSON.stringify(tensor)).sort();
  return createHash('sha256').update(lines.join('\n')).digest('hex');
}

/** Returns a text. @throws {InputError} when it is longer than readers take. */
function checkLength<Text extends string | undefined>(key: string, value: Text, max: number, file: string) {
  if (value !== undefined && value.length > max)
    throw new InputError(`${key}: a text of ${value.length} characters is over the limit of ${max}`, {
      file,
    });
  return value;
}
