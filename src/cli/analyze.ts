import { Command } from 'commander';
import { describeQuantization } from '../architectures/quantization-config.js';
import type { Architecture } from '../architectures/registry.js';
import { elementCount } from '../core/dtype.js';
import { plainLine } from '../core/plain-text.js';
import { sumOf } from '../core/sum.js';
import { addressOf, openModel } from '../open/open.js';
import { type Analysis, analyze, type TensorAnalysis } from '../operations/analyze.js';
import { bytes, count, percent, table } from './format.js';
import { licenseLine } from './license-line.js';
import { baseOption, stateOption } from './options.js';
import { withBars } from './progress-line.js';
import { tensorTable } from './tensor-table.js';
import { print, printJson } from './terminal.js';

interface Options {
  readonly tensors?: true;
  readonly json?: true;
  readonly weights?: true;
  readonly state?: string;
  readonly base?: string;
}

/** `weightpress analyze MODEL` */
export function analyzeCommand(): Command {
  return new Command('analyze')
    .argument('<model>', 'a folder, a file of weights, a .wpk file, or a model on the Hub: user/name')
    .option('--tensors', 'also list every tensor')
    .option('--weights', 'for a model on the Hub: read all weights, not only the headers')
    .addOption(stateOption())
    .addOption(baseOption())
    .option('--json', 'print the result as JSON')
    .addHelpText('after', '\nExample:\n  weightpress analyze ./gpt-neo-1.3B --tensors')
    .action(async (path: string, options: Options) => {
      const analysis = await analyzeWithProgress(path, options);
      if (options.json) return printJson(analysis);
      print(facts(analysis));
      print(`\n${roleTable(analysis)}`);
      if (options.tensors) print(`\n${listTensors(analysis.tensors)}`);
    });
}

async function analyzeWithProgress(path: string, { weights, state, base }: Options): Promise<Analysis> {
  const headersOnly = !weights && (await addressOf(path)) !== undefined;
  const model = await openModel(path, { reading: headersOnly ? 'ranges' : 'sequential', state, base });
  try {
    return await withBars((onProgress) => analyze(model, { onProgress, headersOnly }));
  } finally {
    await model.close();
  }
}

function facts(analysis: Analysis): string {
  const { architecture, license, parameters } = analysis;
  const { layers, hiddenSize, heads, keyValueHeads, context, vocabulary } = architecture;
  const shared =
    keyValueHeads !== heads && keyValueHeads !== undefined ? `, ${keyValueHeads} for keys and values` : '';
  const size = [
    layers && `${layers} layers`,
    hiddenSize && `hidden size ${count(hiddenSize)}`,
    heads && `${heads} heads${shared}`,
  ];
  const unique = parameters.stored === parameters.unique ? '' : ` unique, ${count(parameters.stored)} stored`;
  const buffers = parameters.buffers ? `; not counted: buffers, ${count(parameters.buffers)} elements` : '';
  const rows: [string, string][] = [
    ['model', analysis.model],
    ...(analysis.state === undefined
      ? []
      : [['state', `${analysis.state} (of a checkpoint)`] satisfies [string, string]]),
    ['architecture', architectureName(analysis)],
    ['size', size.filter(Boolean).join(', ') || 'unknown'],
    ['context', context ? `${count(context)} tokens` : 'unknown'],
    ...windowLine(architecture),
    ['vocabulary', vocabulary ? `${count(vocabulary)} tokens` : 'unknown'],
    ...expertsLine(architecture),
    ...quantizationLine(architecture),
    ['output matrix', outputMatrix(analysis)],
    ['license', licenseLine(license)],
    ['parameters', `${count(parameters.unique)}${unique}${buffers}`],
    ...activeLine(parameters),
    ...tiedLines(analysis.tensors),
    ['stored as', analysis.dtypes.map(({ dtype, lengthBytes: b }) => `${dtype} ${bytes(b)}`).join(', ')],
    ['lossless', losslessLine(analysis)],
  ];
  return rows.map(([what, value]) => `${what.padEnd(14)} ${plainLine(value)}`).join('\n');
}

function windowLine({ slidingWindow, layers }: Architecture): [string, string][] {
  if (!slidingWindow) return [];
  const where = slidingWindow.layers === undefined ? '' : ` in ${slidingWindow.layers} of ${layers} layers`;
  return [['sliding window', `${count(slidingWindow.tokens)} tokens${where}`]];
}

function expertsLine({ experts, activeExperts }: Architecture): [string, string][] {
  if (experts === undefined) return [];
  const chosen = activeExperts === undefined ? '' : `, ${count(activeExperts)} active per token`;
  return [['experts', `${count(experts)} per layer${chosen}`]];
}

function quantizationLine({ quantization }: Architecture): [string, string][] {
  return quantization ? [['quantized by', describeQuantization(quantization)]] : [];
}

function activeLine({ active }: Analysis['parameters']): [string, string][] {
  return active === undefined ? [] : [['active', `${count(active)} parameters per token`]];
}

/** Formats the expected size of a lossless file. Quantized blocks are measured as the floats they decode to, which the line says. */
function losslessLine({ lengthBytes, losslessBytes, tensors }: Analysis): string {
  if (losslessBytes === undefined)
    return `unknown: only headers of ${bytes(lengthBytes)} were read; --weights reads all`;
  if (!lengthBytes) return 'no weights';
  const expected = `about ${bytes(losslessBytes)} of ${bytes(lengthBytes)}: ${percent(losslessBytes / lengthBytes)}`;
  const isQuantized = tensors.some(({ storedBytes }) => storedBytes !== undefined);
  return isQuantized
    ? `${expected}, decoded to floats; compress stores the quantized blocks instead`
    : expected;
}

/** Formats a number of bytes; empty when it was not measured. */
function maybeBytes(n: number | undefined): string {
  return n === undefined ? '' : bytes(n);
}

function architectureName({ architecture: { family, modelType, className }, configError }: Analysis): string {
  const detail = [className, modelType && `model_type ${modelType}`].filter(Boolean).join(', ');
  if (family) return `${family} (${detail})`;
  return detail
    ? `${detail}: unsupported architecture; roles are guessed from names and shapes`
    : `unknown: ${configError ?? 'no config.json'}`;
}

/** Describes how the output matrix relates to the token embedding, from the config and the stored tensors. */
function outputMatrix({ architecture: { tiedEmbeddings, className }, tensors }: Analysis): string {
  const embedding = tensors.find(({ role }) => role === 'token embedding');
  const head = tensors.find(({ role, shape, name }) => {
    const isMatrix = `${shape}` === `${embedding?.shape}` || OUTPUT_NAMES.test(name);
    return role === 'head' && name !== embedding?.name && isMatrix;
  });
  if (head?.tied) return 'the token embedding, stored twice with identical bytes';
  if (head) return `a separate matrix${tiedEmbeddings ? ', although config.json says tied' : ''}`;
  const bare = /(?<!LMHead)Model$/.test(className ?? '');
  if (tiedEmbeddings && !bare) return 'the token embedding (tied)';
  // transformers ties by default; without a stored head, a model that generates text has no other.
  const writes = /(ForCausalLM|LMHeadModel|ForConditionalGeneration)$/.test(className ?? '');
  const isTied = embedding && writes && tiedEmbeddings === undefined;
  return isTied ? 'the token embedding (tied by default: no output matrix is stored)' : 'none stored';
}

/** Names of output matrices. Packed ones are found by name, because their shape is not the embedding's. */
const OUTPUT_NAMES = /(^|\.)(lm_head|embed_out|output)\.(weight|qweight|weight_packed)$/;

function tiedLines(tensors: readonly TensorAnalysis[]): [string, string][] {
  return tensors
    .filter(({ tied }) => tied)
    .map(({ name, sameAs }) => ['counted once', `${name} is identical to ${sameAs}`]);
}

function roleTable({ roles, parameters, lengthBytes, losslessBytes }: Analysis): string {
  const rows = roles.map((row) => [
    row.role,
    count(row.tensors),
    count(row.parameters),
    bytes(row.lengthBytes),
    row.entropyBits?.toFixed(2) ?? '',
    row.bitsPerElement?.toFixed(2) ?? '',
    maybeBytes(row.losslessBytes),
  ]);
  const tensors = sumOf(roles, (row) => row.tensors);
  const all = [
    'all',
    count(tensors),
    count(parameters.unique),
    bytes(lengthBytes),
    '',
    '',
    maybeBytes(losslessBytes),
  ];
  const head = ['role', 'tensors', 'parameters', 'bytes', 'entropy\nbits', 'coded\nbits', 'lossless'];
  return table(head, [...rows, null, all]);
}

/** Returns a tensor whose bytes hold another as that one: its type, shape and bits per weight. */
function asWeights(tensor: TensorAnalysis): Omit<TensorAnalysis, 'dtype'> & { readonly dtype: string } {
  const { holds, bitsPerElement, elements } = tensor;
  const weights = holds && elementCount(holds.shape);
  if (!weights) return tensor;
  const shown = { ...tensor, dtype: holds.encoding, shape: holds.shape };
  return bitsPerElement === undefined
    ? shown
    : { ...shown, bitsPerElement: (bitsPerElement * elements) / weights };
}

/** Formats all tensors with bits per element: the entropy of exponents and mantissas, and what the lossless codec takes. */
function listTensors(tensors: readonly TensorAnalysis[]): string {
  const bits = (value: number | undefined) => value?.toFixed(2) ?? '';
  return tensorTable(tensors.map(asWeights), {
    'exp.\nbits': ({ exponentBits }) => bits(exponentBits),
    'mant.\nbits': ({ mantissaBits }) => bits(mantissaBits),
    'coded\nbits': ({ bitsPerElement }) => bits(bitsPerElement),
  });
}
