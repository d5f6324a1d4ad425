import { tensorRole } from '../../architectures/registry.js';
import type { ByteSource } from '../../core/byte-source.js';
import { count } from '../../core/count.js';
import { type GgufValue, readGgufHeader } from '../../models/gguf/header.js';
import { familyOf, toHubName } from '../../models/gguf/names.js';
import { elementsOf } from '../../models/gguf/weights.js';
import type { Listing } from './listed.js';

/** Number of an array's first values that are shown. */
const SHOWN_VALUES = 8;

/** Lists a GGUF file, one part of a split model too. @throws {InputError} for a header that cannot be read. */
export async function listGguf(source: ByteSource): Promise<Listing> {
  const header = await readGgufHeader(source);
  const family = familyOf(header);
  const rename = family && toHubName(family);
  const config = family && { model_type: family.modelTypes[0] };
  const parts = Number(header.metadata.get('split.count') ?? 1);
  const part = Number(header.metadata.get('split.no') ?? 0) + 1;
  return {
    format: 'GGUF',
    metadata: new Map([...header.metadata].map(([key, value]) => [key, textOf(value)])),
    ...(parts > 1 && { warning: `Part ${part} of ${parts} of a split model: only its tensors are shown.` }),
    tensors: header.tensors.map((tensor) => {
      const { name, type, shape, start, end } = tensor;
      return {
        name,
        dtype: type.name,
        shape,
        role: tensorRole({ name: rename?.(name) ?? name, shape }, config),
        bytes: end - start,
        file: source.name,
        open: () => elementsOf(tensor, source),
      };
    }),
  };
}

function textOf(value: GgufValue): string {
  if (!Array.isArray(value)) return String(value);
  const shown = value.slice(0, SHOWN_VALUES).map((item) => JSON.stringify(item));
  const more = value.length > SHOWN_VALUES ? ', …' : '';
  return `${count(value.length)} values: ${shown.join(', ')}${more}`;
}
