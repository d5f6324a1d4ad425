import type { License } from '../../models/license.js';
import type { Summary } from '../../wpk/summary.js';
import type { GgufSummary } from '../quantize/summary.js';

/** The content of an upload. */
export interface PushPlan {
  /** `user/name` on the Hub. */
  readonly repository: string;
  /** The name that the file gets there. */
  readonly file: string;
  /** The model card, Markdown with front matter. */
  readonly card: string;
  /** The license of the original, and where it was found. */
  readonly license: License;
  /** True for a license that is known to permit redistribution. */
  readonly permissive: boolean;
  /** What the file holds: a .wpk, or a GGUF file, whose summary has `format`. */
  readonly summary: Summary | GgufSummary;
  /** The original's license files by name, which are uploaded too; GGUF has none. */
  readonly texts: Readonly<Record<string, string>>;
}
