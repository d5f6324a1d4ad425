import { stringify } from 'yaml';
import { count } from '../../core/count.js';
import type { MeasuredLoss } from '../../wpk/summary.js';
import { measuredLoss } from '../../wpk/summary.js';
import { codesChosenBy, type GgufSummary, TYPE_HEADS, typeRows } from '../quantize/summary.js';
import type { StatedLicense } from '../stated-license.js';
import { CARD_MARK, code, HUB_SOURCE, word } from './card.js';

/** The original of a file: its repository, and the commit if the file says which. */
interface Base {
  readonly repository: string;
  readonly commit: string | undefined;
}

const LLAMA_CPP = '[llama.cpp](https://github.com/ggml-org/llama.cpp)';

/**
 * Returns the model card of a GGUF file: its original, types, loss and use. All figures are from the file; of one that `quantize` did not write
 * the loss is unknown.
 * @param baseAddress `general.base_model.0.repo_url`, where there is no record.
 */
export function ggufCard(
  repository: string,
  file: string,
  summary: GgufSummary,
  license: StatedLicense,
  baseAddress: unknown,
): string {
  const { record } = summary;
  const base = baseOf(summary, baseAddress);
  const frontMatter = {
    ...license.fields,
    ...(base && { base_model: base.repository, base_model_relation: 'quantized' }),
    library_name: 'gguf',
    tags: ['gguf', ...(record ? ['weightpress'] : [])],
  };
  const facts = [
    ['original', originalOf(summary, base)],
    ['file size', `${count(summary.fileBytes)} bytes, including config and tokenizer`],
    [
      'bits per weight',
      `${bitsPerWeight(summary.fileBytes, summary.weights)}, all bytes of the file counted`,
    ],
    ...lossRows(summary),
    ...madeRows(summary),
    ['license', license.id === 'unknown' ? 'not stated by the file' : code(license.id)],
  ];
  const { types, all } = typeRows(summary.tensors);
  const holds = base ? base.repository : code(record?.source ?? file);
  return `---
${stringify(frontMatter).trim()}
---
${CARD_MARK}

# ${repository.split('/')[1]}

${code(file)} ${introduction(summary, holds)}

${markdownTable(['', ''], facts)}

## Types

${markdownTable(TYPE_HEADS, [...types, all])}

## Use

${useOf(repository, file, summary)}
`;
}

function baseOf({ record }: GgufSummary, address: unknown): Base | undefined {
  const [, repository, commit] = HUB_SOURCE.exec(record?.source ?? '') ?? [];
  if (repository) return { repository, commit };
  const [, stated] = /^https:\/\/huggingface\.co\/([\w.-]+\/[\w.-]+)$/.exec(String(address)) ?? [];
  return stated && !record ? { repository: stated, commit: undefined } : undefined;
}

function originalOf({ record }: GgufSummary, base: Base | undefined): string {
  if (!base) return record?.source === undefined ? 'not stated by the file' : code(record.source);
  const link = `[${base.repository}](https://huggingface.co/${base.repository})`;
  return base.commit === undefined ? link : `${link} at \`${base.commit}\``;
}

function introduction({ record, names, isRequantized }: GgufSummary, holds: string): string {
  if (isRequantized)
    return 'is a GGUF file that another program quantized again after weightpress: what it loses against its original is not known.';
  if (!record)
    return 'is a GGUF file that was not quantized by weightpress: what it loses against its original is not known.';
  const use =
    names === 'checkpoint'
      ? `It is for measuring: ${LLAMA_CPP} cannot load it, because its tensors have the checkpoint's names.`
      : `It is for ${LLAMA_CPP} and what is built on it.`;
  return `holds ${holds} as GGUF, quantized by weightpress to types of llama.cpp. ${use}`;
}

function lossRows({ record }: GgufSummary): string[][] {
  if (!record) return [['loss', 'unknown: the file does not say']];
  const loss = measuredLoss(record.quality);
  if (!loss) return [['loss', 'not measured']];
  const measured = ['measured on', [code(loss.text?.name ?? ''), extentOf(loss)].filter(Boolean).join(', ')];
  if (loss.kind === 'embedding')
    return [
      [
        'cosine between embeddings',
        `mean ${loss.cosine.mean.toFixed(5)}${margin(loss.cosine)}, 1 % of the sentences below ${loss.cosine.p1.toFixed(5)}`,
      ],
      ['rank agreement of similarities', loss.rank.mean.toFixed(4)],
      measured,
    ];
  const { kl, top1, perplexity, reference } = loss;
  return [
    ['KL divergence', `${kl.mean.toPrecision(3)}${margin(kl)} nats per token`],
    ['same most probable token', `${(100 * top1.agreement).toFixed(2)} %`],
    ['perplexity', `${reference.perplexity.toFixed(3)} -> ${perplexity.toFixed(3)}`],
    measured,
  ];
}

/** Returns a standard error, if there is one. */
function margin({ standardError }: { readonly standardError: unknown }): string {
  return Number.isFinite(standardError) ? ` ± ${(standardError as number).toPrecision(2)}` : '';
}

/** Returns how much text a loss was measured on, as far as the file says. */
function extentOf(loss: MeasuredLoss): string {
  if (loss.kind === 'embedding')
    return Number.isFinite(loss.sentences) ? `${count(loss.sentences)} sentences` : '';
  const { windows, window } = loss;
  return Number.isFinite(windows) && Number.isFinite(window)
    ? `${count(windows)} windows of ${count(window)} tokens`
    : '';
}

function madeRows({ record }: GgufSummary): string[][] {
  if (!record) return [];
  const { name, isImatrix, sha256, tokens } = codesChosenBy(record);
  const size = tokens === undefined ? '' : `, ${count(tokens)} tokens`;
  const digest = sha256 === undefined ? '' : `, SHA-256 \`${sha256}\``;
  const chosen = isImatrix
    ? `the importance matrix ${code(name ?? '')}${size}`
    : `moments of inputs and gradients on ${code(name ?? '')}${size}${digest}`;
  return [
    ['codes chosen by', record.calibration ? chosen : 'rounding, without calibration'],
    ['made by', `${code(record.generator)} with ${code(record.types)}`],
  ];
}

const bitsPerWeight = (bytes: number, weights: number) => (weights ? ((bytes * 8) / weights).toFixed(3) : '');

function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [line(head), `|${'---|'.repeat(head.length)}`, ...rows.map(line)]
    .join('\n')
    .replaceAll('|  |', '| |');
}

/** Returns commands that run or show the file. */
function useOf(repository: string, file: string, { names, content, isEmbedding }: GgufSummary): string {
  const path = word(`${repository}/${file}`);
  const inspect = `weightpress inspect ${path}`;
  if (names === 'checkpoint' || content !== 'model')
    return shell([
      [inspect, 'what the file says of itself'],
      ...(names === 'checkpoint' ? [[`weightpress evaluate ${path} --text TEXT`, 'runs it']] : []),
    ]);
  const [, type] = /[-.]((?:I?Q\d\w*|B?F16|F32))\.gguf$/i.exec(file) ?? [];
  const from = `-hf ${type ? `${repository}:${type}` : `${repository} --hf-file ${word(file)}`}`;
  const [once, server] = isEmbedding
    ? [`llama-embedding ${from} -p TEXT`, `llama-server ${from} --embedding`]
    : [`llama-cli ${from}`, `llama-server ${from}`];
  return shell([
    [once, isEmbedding ? 'the vector of a text' : 'in the terminal'],
    [server, 'over HTTP'],
    [inspect, 'types, and what the file says of itself'],
  ]);
}

function shell(lines: readonly (readonly string[])[]): string {
  const width = Math.max(...lines.map(([command]) => command!.length));
  return [
    '```sh',
    ...lines.map(([command, comment]) => `${command!.padEnd(width)}   # ${comment}`),
    '```',
  ].join('\n');
}
