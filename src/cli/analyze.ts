import { Command } from 'commander';
import type { Architecture } from '../architectures/registry.js';
import { plainLine } from '../core/plain-text.js';
import { addressOf, openModel } from '../open/open.js';
import { type Analysis, analyze, type TensorAnalysis } from '../operations/analyze.js';
import { licenseLine } from './license-line.js';
import { stateOption } from './options.js';
import { bytes, count, percent, print, printJson, table, withBars } from './terminal.js';

interface Options {
  readonly tensors?: true;
  readonly json?: true;
  readonly weights?: true;
  readonly state?: string;
}

/** `weightpress analyze MODEL` */
export function analyzeCommand(): Command {
  return new Command('analyze')
    .description('what a model is, what its bits hold, and how small a lossless file can get')
    .argument('<model>', 'a folder, a file of weights, a .wpk file, or a model on the Hub: user/name')
    .option('--tensors', 'a row for every tensor too')
    .option('--weights', 'of a model on the Hub: read all weights, not the headers alone')
    .addOption(stateOption())
    .option('--json', 'everything, for programs')
    .addHelpText('after', '\nExample:\n  weightpress analyze ./gpt-neo-1.3B --tensors')
    .action(async (path: string, options: Options) => {
      const analysis = await analyzeWithProgress(path, options);
      if (options.json) return printJson(analysis);
      print(facts(analysis));
      print(`\n${roleTable(analysis)}`);
      if (options.tensors) print(`\n${tensorTable(analysis.tensors)}`);
    });
}

async function analyzeWithProgress(path: string, { weights, state }: Options): Promise<Analysis> {
  const headersOnly = !weights && (await addressOf(path)) !== undefined;
  const model = await openModel(path, { reading: headersOnly ? 'ranges' : 'sequential', state });
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
  const buffers = parameters.buffers ? `; buffers apart: ${count(parameters.buffers)} elements` : '';
  const rows: [string, string][] = [
    ['model', analysis.model],
    ...(analysis.state === undefined
      ? []
      : [['state', `${analysis.state}, of a checkpoint`] satisfies [string, string]]),
    ['architecture', architectureName(analysis)],
    ['size', size.filter(Boolean).join(', ') || 'not said'],
    ['context', context ? `${count(context)} tokens` : 'not said'],
    ...windowLine(architecture),
    ['vocabulary', vocabulary ? `${count(vocabulary)} tokens` : 'not said'],
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
  const chosen = activeExperts === undefined ? '' : `, ${count(activeExperts)} for each token`;
  return [['experts', `${count(experts)} in a layer${chosen}`]];
}

function quantizationLine({ quantization }: Architecture): [string, string][] {
  if (!quantization) return [];
  const { method, bits, groupSize } = quantization;
  const parts = [method, bits && `${bits} bits`, groupSize && `groups of ${groupSize}`];
  return [['quantized by', parts.filter(Boolean).join(', ')]];
}

function activeLine({ active }: Analysis['parameters']): [string, string][] {
  return active === undefined ? [] : [['active', `${count(active)} parameters for each token`]];
}

/** How small a lossless file can get; of quantized blocks, which are read as floats, what these figures are of. */
function losslessLine({ lengthBytes, losslessBytes, tensors }: Analysis): string {
  if (losslessBytes === undefined)
    return `not known: only headers were read of ${bytes(lengthBytes)}; --weights reads all`;
  if (!lengthBytes) return 'nothing stored';
  const expected = `${bytes(losslessBytes)} expected of ${bytes(lengthBytes)}: ${percent(losslessBytes / lengthBytes)}`;
  const isQuantized = tensors.some(({ storedBytes }) => storedBytes !== undefined);
  return isQuantized ? `${expected}, as floats; compress keeps the quantized blocks instead` : expected;
}

/** Empty for what was not measured. */
function maybeBytes(n: number | undefined): string {
  return n === undefined ? '' : bytes(n);
}

function architectureName({ architecture: { family, modelType, className }, configError }: Analysis): string {
  const detail = [className, modelType && `model_type ${modelType}`].filter(Boolean).join(', ');
  if (family) return `${family} (${detail})`;
  return detail
    ? `${detail}: not a family known here; roles are told by names and shapes`
    : `unknown: ${configError ?? 'no config.json'}`;
}

/** How the head relates to the token embedding, by the config and by what is stored. */
function outputMatrix({ architecture: { tiedEmbeddings, className }, tensors }: Analysis): string {
  const embedding = tensors.find(({ role }) => role === 'token embedding');
  const head = tensors.find(({ role, shape, name }) => {
    const isMatrix = `${shape}` === `${embedding?.shape}` || OUTPUT_NAMES.test(name);
    return role === 'head' && name !== embedding?.name && isMatrix;
  });
  if (head?.tied) return 'the token embedding, stored twice with identical bytes';
  if (head) return `a matrix of its own${tiedEmbeddings ? ', though the config says tied' : ''}`;
  if (tiedEmbeddings) return 'the token embedding (tied)';
  // The reference implementation ties where configs do not say; a model that writes text has no other head then.
  const writes = /(ForCausalLM|LMHeadModel|ForConditionalGeneration)$/.test(className ?? '');
  const isTied = embedding && writes && tiedEmbeddings === undefined;
  return isTied
    ? 'the token embedding (tied: none is stored, and the config does not say otherwise)'
    : 'none stored';
}

/** What output matrices are called, packed or not; shapes of packed ones are not the embedding's. */
const OUTPUT_NAMES = /(^|\.)(lm_head|embed_out|output)\.(weight|qweight|weight_packed)$/;

function tiedLines(tensors: readonly TensorAnalysis[]): [string, string][] {
  return tensors
    .filter(({ tied }) => tied)
    .map(({ name, sameAs }) => ['counted once', `${name} has the bytes of ${sameAs}`]);
}

function roleTable({ roles, parameters, lengthBytes, losslessBytes }: Analysis): string {
  const rows = roles.map((row) => [
    row.role,
    count(row.tensors),
    count(row.parameters),
    bytes(row.lengthBytes),
    percent(row.share),
    row.entropyBits?.toFixed(2) ?? '',
    row.bitsPerElement?.toFixed(2) ?? '',
    maybeBytes(row.losslessBytes),
  ]);
  const tensors = roles.reduce((total, row) => total + row.tensors, 0);
  const all = [
    'all',
    count(tensors),
    count(parameters.unique),
    bytes(lengthBytes),
    '',
    '',
    '',
    maybeBytes(losslessBytes),
  ];
  const head = ['role', 'tensors', 'parameters', 'bytes', 'share', 'entropy bits', 'coded bits', 'lossless'];
  return table(head, [...rows, null, all]);
}

function tensorTable(tensors: readonly TensorAnalysis[]): string {
  return table(
    ['tensor', 'role', 'dtype', 'shape', 'sign', 'exponent', 'mantissa', 'coded bits', 'bytes', 'lossless'],
    tensors.map((tensor) => [
      tensor.name,
      tensor.role,
      tensor.dtype,
      tensor.shape.join(' x ') || 'scalar',
      ...[tensor.signBits, tensor.exponentBits, tensor.mantissaBits].map((bits) => bits?.toFixed(2) ?? ''),
      tensor.bitsPerElement?.toFixed(2) ?? '',
      bytes(tensor.lengthBytes),
      tensor.sameAs === undefined ? maybeBytes(tensor.expectedBytes) : `same as ${tensor.sameAs}`,
    ]),
    ['left', 'left', 'left', ...Array.from({ length: 7 }, () => 'right' as const)],
  );
}
