import { stringify } from 'yaml';
import { count } from '../../core/count.js';
import { plainLine } from '../../core/plain-text.js';
import { sumOf } from '../../core/sum.js';
import { isLossless, measuredLoss, type Summary } from '../../wpk/summary.js';
import type { StatedLicense } from '../stated-license.js';

/** First line of a generated card below its front matter; only such a card may be replaced. */
export const CARD_MARK = '<!-- made by weightpress push -->';

/** Matches a `source` that is a model on the Hub. */
export const HUB_SOURCE = /^([\w.-]+\/[\w.-]+)@([0-9a-f]{40})$/;

/**
 * Returns the model card of a .wpk file: its source, size, loss, use and settings. All figures are from the file. The license is the
 * original's, or stated to be unknown.
 */
export function modelCard(
  repository: string,
  file: string,
  summary: Summary,
  license: StatedLicense,
): string {
  const { source, fileBytes, originalBytes, generator, options, tensors, base: needed } = summary;
  const [, base, commit] = HUB_SOURCE.exec(source) ?? [];
  const weights = sumOf(tensors, ({ elements }) => elements);
  const frontMatter = {
    ...license.fields,
    ...(base !== undefined && { base_model: base, base_model_relation: 'quantized' }),
    library_name: 'weightpress',
    tags: ['weightpress', 'compressed'],
  };
  const from = needed ? ` --base ${word(needed.name)}` : '';
  const facts = [
    [
      'original',
      base === undefined ? code(source) : `[${base}](https://huggingface.co/${base}) at \`${commit}\``,
    ],
    ['original size', `${count(originalBytes)} bytes, all files counted`],
    ['compressed size', `${count(fileBytes)} bytes, including config and tokenizer`],
    ...(needed
      ? [
          [
            'needs',
            `its base ${code(needed.name)}, whose bytes are not counted; digest ${code(needed.sha256)}`,
          ],
        ]
      : []),
    ['ratio', `${(originalBytes / fileBytes).toFixed(3)}:1`],
    ...(weights ? [['bits per weight', ((summary.fileBytesWithoutSideFiles * 8) / weights).toFixed(3)]] : []),
    ['loss', lossOf(summary)],
    ['made by', `${code(generator)} with ${code(JSON.stringify(options))}`],
    ['license', license.id === 'unknown' ? 'not stated by the original' : code(license.id)],
  ];
  return `---
${stringify(frontMatter).trim()}
---
${CARD_MARK}

# ${repository.split('/')[1]}

${code(file)} holds ${base === undefined ? code(source) : base} in the compressed form of weightpress: weights, config and tokenizer in one file.

| | |
|---|---|
${facts.map(([name, value]) => `| ${name} | ${value} |`).join('\n')}

## Use

\`\`\`sh
weightpress decompress ${word(`${repository}/${file}`)} -o model${from}   # a folder that transformers loads
weightpress verify ${word(`${repository}/${file}`)}${from}                # every block against its checksum
\`\`\`
`;
}

function lossOf({ tensors, quality, leftOut }: Summary): string {
  if (isLossless(tensors))
    return leftOut.length
      ? `none: every byte of the files in it is restored; left out: ${leftOut.map(({ name }) => code(name)).join(', ')}`
      : 'none: every byte of the original is restored';
  const loss = measuredLoss(quality);
  if (!loss) return 'lossy; the loss was not measured';
  const { text } = loss;
  if (loss.kind === 'embedding')
    return `mean cosine ${loss.cosine.mean.toFixed(5)} between embeddings, 1 % of the sentences below ${loss.cosine.p1.toFixed(5)} (${code(text?.name ?? '')})`;
  const { kl, top1, perplexity, reference } = loss;
  return [
    `KL divergence ${kl.mean.toPrecision(3)} nats per token`,
    `same most probable token ${(100 * top1.agreement).toFixed(2)} %`,
    `perplexity ${reference.perplexity.toFixed(3)} -> ${perplexity.toFixed(3)} (${code(text?.name ?? '')})`,
  ].join(', ');
}

/** Formats text from a file as code in a table cell. */
export const code = (text: string) => `\`${withoutTicks(text).replaceAll('|', ' ') || '?'}\``;
/** Quotes text as one word for a shell. */
export const word = (text: string) =>
  /^[\w./@+-]+$/.test(text) ? text : `'${withoutTicks(text).replaceAll("'", String.raw`'\''`)}'`;
/** Returns text as one line without backticks. */
const withoutTicks = (text: string) => plainLine(text).replaceAll('`', ' ');
