import type { Get } from './keys.js';

/** sentence-transformers' names of llama.cpp's pooling types, by their numbers. */
export const POOLING_TYPES = ['', 'mean', 'cls', 'lasttoken'] as const;

/** Returns the files that say how an embedding model's hidden states become one vector, by name; none if the metadata does not say. */
export function poolingFiles(get: Get): Readonly<Record<string, string>> {
  const type = POOLING_TYPES[Number(get('pooling_type') ?? 0)];
  if (!type) return {};
  const module = (index: number, path: string, kind: string) => ({
    idx: index,
    name: String(index),
    path,
    type: `sentence_transformers.models.${kind}`,
  });
  const modules = [module(0, '', 'Transformer'), module(1, '1_Pooling', 'Pooling')];
  const settings = { word_embedding_dimension: get('embedding_length'), pooling_mode: type };
  return {
    'modules.json': `${JSON.stringify(modules, null, 2)}\n`,
    '1_Pooling/config.json': `${JSON.stringify(settings, null, 2)}\n`,
  };
}
