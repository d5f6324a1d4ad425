import type { ByteSource } from '../../core/byte-source.js';
import { InputError } from '../../core/errors.js';
import { SingleFile } from '../../core/folder.js';
import type { Config } from '../../core/json.js';
import type { SideFile } from '../../core/model.js';
import type { TokenizerFiles } from '../../tokenizer/files.js';
import { FileBackedModel, type StoredModel } from '../stored-model.js';
import { type VirtualTensor, virtualSafetensors } from '../virtual.js';
import { getter, readConfig } from './config.js';
import type { GgufFamily } from './family.js';
import { type GgufHeader, type GgufTensor, readGgufHeader } from './header.js';
import { asOnHub } from './hub-tensors.js';
import { licenseIn } from './license.js';
import { familyOf } from './names.js';
import { ownFiles } from './own-files.js';
import { poolingFiles } from './pooling.js';
import { FACTOR_TENSORS } from './rope.js';
import { hasTokenizer, readTokenizer } from './tokenizer.js';
import { elementsOf } from './weights.js';

/**
 * Opens a GGUF file as a model of the Hub: tensors are renamed, reordered and, on reading, decoded to float32, and config.json and
 * tokenizer files are derived from the metadata. For an unknown architecture the tensors stay as they are and there is no config. The
 * result owns the source.
 * @throws {InputError} for a malformed file, after closing the source.
 */
export async function openGguf(id: string, source: ByteSource): Promise<StoredModel> {
  try {
    const header = await readGgufHeader(source);
    refusePart(header, source.name);
    const family = ownFiles(header.metadata, source.name) ? undefined : familyOf(header);
    const mapped = family ? await mapModel(family, header, source) : unmapped(id, header, source);
    const { name, tensors, ...rest } = mapped;
    return new FileBackedModel({
      id,
      kind: 'gguf',
      ...rest,
      weightSources: [virtualSafetensors(name, source, tensors)],
      files: new SingleFile(id, source),
    });
  } catch (error) {
    await source.close();
    throw error;
  }
}

/** Refuses a part of a split model. @throws {InputError} */
export function refusePart({ metadata }: GgufHeader, file: string): void {
  const parts = Number(metadata.get('split.count') ?? 1);
  const index = Number(metadata.get('split.no') ?? 0);
  if (parts === 1) return;
  const first = file.replace(/-\d{5}(?=-of-\d{5}\.gguf$)/, '-00001');
  throw new InputError(
    `part ${index + 1} of ${parts} of a split model: merge it with llama-gguf-split --merge ${first} model.gguf; lossless compress accepts it as it is`,
    { file },
  );
}

const fileNameOf = (id: string) => id.split(/[\\/]/).at(-1)!;

interface Mapped {
  /** Name of the weights as a safetensors file. */
  readonly name: string;
  readonly tensors: readonly VirtualTensor[];
  readonly config: Config | undefined;
  readonly sideFiles: readonly SideFile[];
}

/** A file whose tensors stay as they are: of an unknown architecture, or with the checkpoint's own names and files. */
function unmapped(id: string, { metadata, tensors }: GgufHeader, source: ByteSource): Mapped {
  const own = ownFiles(metadata, source.name);
  return {
    name: `${fileNameOf(id).replace(/\.[^.]+$/, '')}.safetensors`,
    tensors: tensors.map((tensor) => elementsOf(tensor, source)),
    config: own?.config,
    sideFiles: [...(own?.texts ?? [])].map(([name, text]) => new DerivedFile(name, () => text)),
  };
}

async function mapModel(family: GgufFamily, header: GgufHeader, source: ByteSource): Promise<Mapped> {
  const isFactors = ({ name }: GgufTensor) => Object.values<string>(FACTOR_TENSORS).includes(name);
  const factors = new Map<string, Float32Array>();
  for (const tensor of header.tensors)
    if (isFactors(tensor)) factors.set(tensor.name, await readFactors(tensor, source));
  checkCounts(family, header, source.name);
  const config = readConfig(family, header, header.tensors, factors, source.name);
  const tensors = header.tensors
    .filter((tensor) => !isFactors(tensor))
    .map((tensor) => elementsOf(tensor, source));
  return {
    name: 'model.safetensors',
    tensors: asOnHub(tensors, family, config),
    config,
    sideFiles: sideFilesOf(config, header, source.name),
  };
}

/** Numbers of experts that llama.cpp allows. */
const MAX_EXPERTS = 1024;

/** Refuses more layers or experts than the file can have, before anything of their size is made. @throws {InputError} */
function checkCounts({ architecture }: GgufFamily, header: GgufHeader, file: string): void {
  const get = getter(header, architecture);
  const limits = { block_count: header.tensors.length, expert_count: MAX_EXPERTS };
  for (const [key, limit] of Object.entries(limits)) {
    const value = get(key);
    if (typeof value === 'number' && value > limit)
      throw new InputError(`${architecture}.${key}: expected at most ${limit}, found ${value}`, { file });
  }
}

/** A file has at most one factor per pair of a head's features. The factors are read when the file is opened. */
const MAX_FACTORS = 4096;

async function readFactors(
  { name, type, shape, start, end }: GgufTensor,
  source: ByteSource,
): Promise<Float32Array> {
  if (type.name !== 'F32' || shape.length !== 1 || shape[0]! > MAX_FACTORS)
    throw new InputError(
      `expected at most ${MAX_FACTORS} factors in F32, found ${type.name} of shape [${shape}]`,
      {
        file: source.name,
        tensor: name,
      },
    );
  return new Float32Array((await source.read(start, end)).slice().buffer);
}

/** Returns the generation config if the file lists more than one token that ends a text or a turn. */
function generationConfig(metadata: GgufHeader['metadata']): object | undefined {
  const ids = ['eos', 'eot', 'eom'].map((which) => metadata.get(`tokenizer.ggml.${which}_token_id`));
  const known = [...new Set(ids.filter((id) => typeof id === 'number'))];
  return known.length > 1 ? { eos_token_id: known } : undefined;
}

const FILE_ENDING = '\n';

function sideFilesOf(config: Config, { metadata }: GgufHeader, file: string): SideFile[] {
  const license = Object.entries(licenseIn({ metadata }).fields);
  const ends = generationConfig(metadata);
  const texts = {
    // the license is read from front matter
    'README.md': license.length
      ? `---\n${license.map(([key, value]) => `${key}: ${Array.isArray(value) ? `[${value.join(', ')}]` : value}\n`).join('')}---\n`
      : undefined,
    'config.json': JSON.stringify(config, null, 2) + FILE_ENDING,
    'generation_config.json': ends && JSON.stringify(ends, null, 2) + FILE_ENDING,
    ...poolingFiles(getter({ metadata }, metadata.get('general.architecture'))),
  };
  return [
    ...Object.entries(texts).flatMap(([name, text]) =>
      text === undefined ? [] : [new DerivedFile(name, () => text)],
    ),
    ...tokenizerFilesOf(metadata, file),
  ];
}

/** Returns the files of a tokenizer, which is converted when one of them is read: 262,144 tokens take 2 s. */
function tokenizerFilesOf(metadata: GgufHeader['metadata'], file: string): SideFile[] {
  if (!hasTokenizer(metadata)) return [];
  let converted: TokenizerFiles | undefined;
  const files = () => {
    converted ??= readTokenizer(metadata, file)!;
    return converted;
  };
  return [
    new DerivedFile('tokenizer.json', () => JSON.stringify(files().definition) + FILE_ENDING),
    new DerivedFile('tokenizer_config.json', () => JSON.stringify(files().config, null, 2) + FILE_ENDING),
  ];
}

/** A file that is made of the header, which is counted with the weights, when it is asked for. */
class DerivedFile implements SideFile {
  readonly storedBytes = 0;
  private bytes: Uint8Array | undefined;

  constructor(
    readonly name: string,
    private readonly text: () => string,
  ) {}

  get lengthBytes(): number {
    return this.encoded().length;
  }

  async read(): Promise<Uint8Array> {
    return this.encoded().slice();
  }

  private encoded(): Uint8Array {
    this.bytes ??= new TextEncoder().encode(this.text());
    return this.bytes;
  }
}
