import type { Config } from '../core/json.js';
import { textConfigOf } from './config-reader.js';

/** Returns whether a config ties the output matrix to the token embedding; undefined if it does not say. */
export function tiedIn(config: Config): boolean | undefined {
  const tied = config.tie_word_embeddings ?? textConfigOf(config).tie_word_embeddings;
  return typeof tied === 'boolean' ? tied : undefined;
}
