// An open .wpk, which can be decoded and run.
import { histogramOf } from '../dist/browser/histogram.js';
import { type BrowserModel, type OpenOptions, open } from '../dist/browser/open.js';
import type { LoadedModel } from '../dist/browser/run.js';
import { InputError, IntegrityError, isInputError } from '../dist/core/errors.js';
import { lastName } from '../dist/core/file-name.js';
import type { Progress } from '../dist/core/progress.js';
import { findLicense } from '../dist/models/license.js';
import { type Summary, summarize, type TensorSummary } from '../dist/wpk/summary.js';
import { download } from './download.js';
import { bytes, share } from './numbers.js';
import type { Opened, Part, Row } from './opened.js';

/** Files up to this size are decoded and checked at once, larger ones when they are asked to. */
export const SMALL_BYTES = 2 ** 26;

export class WpkFile implements Opened {
  readonly format = '.wpk';
  readonly warning: undefined;
  readonly rows: readonly Row[];
  readonly facts: readonly (readonly [string, string])[];
  /** The model in memory, if it can be run and was decoded. */
  loaded: LoadedModel | undefined;
  /** Why it cannot generate text. */
  problem = '';
  isDecoded = false;

  private constructor(
    readonly from: string | File,
    readonly model: BrowserModel,
    readonly summary: Summary,
    license: string,
    readonly metadata: ReadonlyMap<string, string>,
  ) {
    this.rows = summary.tensors.map((tensor) => rowOf(model, tensor));
    this.facts = factsOf(summary, license);
  }

  /** Opens a file by its address or from this machine. */
  static async open(from: string | File, options: OpenOptions): Promise<WpkFile> {
    const model = await open(from, options);
    const { id, from: file } = await findLicense(model.sideFiles);
    return new WpkFile(
      from,
      model,
      summarize(model.container),
      file ? `${id} (${file})` : 'unknown',
      await metadataOf(model),
    );
  }

  get name(): string {
    return typeof this.from === 'string' ? lastName(this.from) : this.from.name;
  }

  get link(): string | undefined {
    return typeof this.from === 'string' ? this.from : undefined;
  }

  get weights(): number {
    return this.summary.weights;
  }

  get parts(): Part[] {
    return this.summary.rows.map(({ part, storedElements, compressedBytes }) => ({
      name: part,
      elements: storedElements,
      bytes: compressedBytes,
    }));
  }

  get fileBytes(): number {
    return this.summary.fileBytes;
  }

  async file(signal: AbortSignal): Promise<File> {
    return this.from instanceof File ? this.from : download(this.from, this.fileBytes, signal);
  }

  /** Decodes and checks every block, and loads the weights if the model can be run. @returns the number of decoded bytes. */
  async decode(onDecoded: (done: number, total: number) => void, signal: AbortSignal): Promise<number> {
    const { prepare } = await import('./runtime.js');
    const total = this.model.tensors.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0);
    let done = 0;
    const report = (now: number, of: number) => {
      done = now;
      onDecoded(now, of);
    };
    const onProgress = ({ unit, done, total }: Progress) => {
      if (unit === 'bytes') report(done, total);
    };
    try {
      this.loaded = await prepare(this.model, onProgress, signal);
    } catch (error) {
      if (!isInputError(error) || error instanceof IntegrityError || done) throw error;
      this.problem = error.message;
    }
    // the weights were not read in file order, or the model cannot be run
    if (!done) for await (const { lengthBytes } of this.model.all(signal)) report(done + lengthBytes, total);
    this.isDecoded = true;
    return done;
  }

  async close(): Promise<void> {
    await this.loaded?.close();
    await this.model.close();
  }
}

function rowOf(model: BrowserModel, tensor: TensorSummary): Row {
  const { name, dtype, shape, role, elements, compressedBytes, originalBytes, codec, sameAs, error } = tensor;
  return {
    name,
    dtype,
    shape,
    role,
    elements,
    bytes: compressedBytes,
    error,
    facts: [
      ['stored', sameAs === undefined ? codec : `as ${sameAs}`],
      ['original size', bytes(originalBytes)],
      ...(elements ? [['bits per element', ((8 * compressedBytes) / elements).toFixed(3)] as const] : []),
      ...(error === undefined ? [] : [['squared error', `${error.toPrecision(3)}, relative`] as const]),
    ],
    async histogram(signal) {
      const found = await histogramOf(model.container, name, signal);
      if (!found) throw new InputError(`elements of ${dtype} are not read`);
      return found;
    },
  };
}

function factsOf({ source, generator, options, fileBytes, originalBytes }: Summary, license: string) {
  const ratio = originalBytes ? `${share(fileBytes / originalBytes)} of ${bytes(originalBytes)}` : '';
  return [
    ['made of', source],
    ['compressed', wordsOf(options)],
    ...(ratio ? [['of the original', ratio] as const] : []),
    ['license', license],
    ['made by', generator],
  ] as const;
}

/** Says how a file was compressed: `trellis, 3 bits per weight`. */
export function wordsOf(options: Summary['options']): string {
  const { codec = 'unknown codec', budget } = options as { codec?: string; budget?: Record<string, number> };
  const [kind, value] = Object.entries(budget ?? {}).find(([, given]) => given !== undefined) ?? [];
  const words: Record<string, string> = {
    bits: `${value} bits per weight`,
    kl: `a divergence of ${value} nats per token`,
    size: `at most ${bytes(value ?? 0)}`,
    ratio: `${value} times smaller`,
  };
  return kind === undefined ? codec : `${codec}, ${words[kind] ?? `${kind} ${value}`}`;
}

/** Side files that are texts of metadata. */
const TEXTS = /^(config|generation_config|tokenizer_config)\.json$|^README\.md$/;
const MAX_TEXT_BYTES = 2 ** 20;

async function metadataOf({ sideFiles }: BrowserModel): Promise<Map<string, string>> {
  const texts = new Map<string, string>();
  for (const file of sideFiles)
    if (TEXTS.test(file.name) && file.lengthBytes < MAX_TEXT_BYTES)
      texts.set(file.name, new TextDecoder().decode(await file.read()));
  return texts;
}
