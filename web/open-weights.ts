// Weight files of other formats: one, or the shards of a model, listed from their headers.
import { describeArchitecture } from '../dist/architectures/registry.js';
import type { ListedTensor, Listing } from '../dist/browser/listing/listed.js';
import { listWeights } from '../dist/browser/listing/listing.js';
import { sampledHistogram } from '../dist/browser/listing/sample.js';
import type { ByteSource } from '../dist/core/byte-source.js';
import { elementCount } from '../dist/core/dtype.js';
import { lastName } from '../dist/core/file-name.js';
import type { Config } from '../dist/core/json.js';
import type { OpenBeside } from '../dist/models/onnx/external.js';
import { count } from './numbers.js';
import { type Opened, type Part, type Row, sumsBy } from './opened.js';

/** Headers that are read at the same time. */
const AT_ONCE = 6;

/** What is known of the files besides them. */
export interface Beside {
  readonly name: string;
  readonly link?: string | undefined;
  readonly config?: Config | undefined;
  /** Texts of files beside the weights, by name. */
  readonly texts?: ReadonlyMap<string, string>;
  readonly file?: Opened['file'];
  /** Opens files in the folder of the first one: those with the elements of an ONNX file. */
  readonly open?: OpenBeside;
}

/** Lists the tensors of files as one model. The result owns the sources. @throws {InputError} naming a file that cannot be read. */
export async function openWeights(sources: readonly ByteSource[], beside: Beside): Promise<Opened> {
  const close = async () => {
    await Promise.all(sources.map((source) => source.close()));
  };
  try {
    const listings = await listAll(sources, beside);
    const fileBytes = sources.reduce((sum, { byteLength }) => sum + byteLength, 0);
    const several = sources.length > 1;
    const rows = listings.flatMap(({ tensors }) => tensors.map((tensor) => rowOf(tensor, several)));
    const [{ format }] = listings as [Listing];
    return {
      name: beside.name,
      link: beside.link,
      format,
      fileBytes,
      rows,
      weights: rows.reduce((sum, row) => sum + (row.role === 'buffer' ? 0 : row.elements), 0),
      parts: partsOf(rows, fileBytes),
      facts: factsOf(sources, listings[0]!.metadata, beside.config),
      metadata: new Map([...listings.flatMap(({ metadata }) => [...metadata]), ...(beside.texts ?? [])]),
      warning: listings.find(({ warning }) => warning)?.warning,
      file: several ? undefined : beside.file,
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

async function listAll(sources: readonly ByteSource[], { config, open }: Beside): Promise<Listing[]> {
  const listings: Listing[] = [];
  for (let i = 0; i < sources.length; i += AT_ONCE)
    listings.push(
      ...(await Promise.all(
        sources.slice(i, i + AT_ONCE).map((source) => listWeights(source, config, open)),
      )),
    );
  return listings;
}

function rowOf(tensor: ListedTensor, several: boolean): Row {
  const { name, dtype, shape, role, bytes, file, note } = tensor;
  const elements = elementCount(shape);
  return {
    name,
    dtype,
    shape,
    role,
    elements,
    bytes,
    facts: [
      ...(several ? [['file', lastName(file)] as const] : []),
      ...(note === undefined ? [] : [['place', note] as const]),
      ...(elements ? [['bits per element', ((8 * bytes) / elements).toFixed(3)] as const] : []),
    ],
    histogram: async (signal) => sampledHistogram(tensor.open(), signal),
  };
}

/** Returns bytes by role, and the rest: headers, padding, storages that belong to no tensor. */
function partsOf(rows: readonly Row[], fileBytes: number): Part[] {
  const parts = sumsBy(rows, ({ role }) => role).map(([name, { elements, bytes }]) => ({
    name,
    elements,
    bytes,
  }));
  const rest = fileBytes - parts.reduce((sum, part) => sum + part.bytes, 0);
  return rest > 0 ? [...parts, { name: 'headers and padding', elements: 0, bytes: rest }] : parts;
}

function factsOf(
  sources: readonly ByteSource[],
  metadata: ReadonlyMap<string, string>,
  config: Config | undefined,
): [string, string][] {
  const facts: [string, string | undefined][] = [
    ['title', metadata.get('general.name')],
    ['architecture', metadata.get('general.architecture') ?? (config && describe(config))],
    ['made by', metadata.get('producer_name')],
    ['license', metadata.get('general.license')],
    ['files', sources.length > 1 ? count(sources.length) : undefined],
  ];
  return facts.flatMap(([name, value]) => (value ? [[name, value]] : []));
}

/** Says what a config declares: `GPT-2, 12 layers, 768 features`. */
function describe(config: Config): string {
  const { family, modelType, layers, hiddenSize, vocabulary } = describeArchitecture(config);
  const parts = [
    family ?? modelType,
    layers && `${layers} layers`,
    hiddenSize && `${count(hiddenSize)} features`,
    vocabulary && `${count(vocabulary)} tokens`,
  ];
  return parts.filter(Boolean).join(', ');
}
