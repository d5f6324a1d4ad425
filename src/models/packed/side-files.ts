import type { Config } from '../../core/json.js';
import type { SideFile } from '../../core/model.js';
import { INDEX_NAME } from '../folder/shard-index.js';
import type { WeightSource } from '../stored-model.js';

/** Files that describe packed weights beside config.json. */
export const DESCRIPTIONS: ReadonlySet<string> = new Set([
  'quantize_config.json',
  'quant_config.json',
  'hf_quant_config.json',
]);

/** Returns a config that does not name a packing. */
export function withoutPacking(config: Config): Config {
  const { quantization_config: _, compression_config: __, ...rest } = config;
  return rest;
}

/**
 * Returns the side files of a model whose weights are unpacked: config.json is `config`, an index lists the tensors of `sources`, and
 * files that describe the packing are left out.
 */
export function sideFilesOf(
  files: readonly SideFile[],
  config: Config,
  sources: readonly WeightSource[],
): SideFile[] {
  return files
    .filter(({ name }) => !DESCRIPTIONS.has(name))
    .map((file) => {
      if (file.name === 'config.json') return changed(file, textOf(config));
      return file.name === INDEX_NAME && sources.length ? changed(file, indexOf(sources)) : file;
    });
}

function changed({ name, lengthBytes, storedBytes = lengthBytes }: SideFile, text: string): SideFile {
  const bytes = new TextEncoder().encode(`${text}\n`);
  return { name, lengthBytes: bytes.length, storedBytes, read: async () => bytes.slice() };
}

/** Returns a config as JSON, with infinity and NaN as Python writes them. */
function textOf(config: Config): string {
  const marked = (_: string, value: unknown) =>
    typeof value === 'number' && !Number.isFinite(value) ? `\u{f8ff}${value}` : value;
  return JSON.stringify(config, marked, 2).replaceAll(/"\u{f8ff}(-?Infinity|NaN)"/gu, '$1');
}

function indexOf(sources: readonly WeightSource[]): string {
  const all = sources.flatMap(({ name, tensors }) => tensors.map((tensor) => ({ name, tensor })));
  const weight_map = Object.fromEntries(all.map(({ name, tensor }) => [tensor.name, name]));
  const total_size = all.reduce((sum, { tensor }) => sum + tensor.lengthBytes, 0);
  return JSON.stringify({ metadata: { total_size }, weight_map }, null, 2);
}
