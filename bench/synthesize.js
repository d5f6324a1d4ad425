// Writes a model of a known architecture's real shapes with weights that look trained: something of the right size
// to measure on, where the real one would have to be downloaded.
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { parameterShapes } from '../dist/architectures/shapes.js';
import { DTYPES } from './synthetic/floats.js';
import { writeSafetensors } from './synthetic/safetensors.js';
import { cutDepth, SHAPES } from './synthetic/shapes.js';
import { drawTensor } from './synthetic/tensor.js';
import { openTrained } from './synthetic/trained.js';

const USAGE = `usage: node bench/synthesize.js SHAPE -o DIR [--dtype f32|bf16|f16] [--layers N] [--like MODEL_DIR] [--seed N]
shapes: ${Object.keys(SHAPES).join(', ')}`;

const BUNDLED = new URL('../examples/gpt-neo-tiny', import.meta.url).pathname;

/**
 * Writes config.json, model.safetensors, README.md and, where its ids fit the vocabulary, the tokenizer of `like`.
 * The same arguments give the same bytes.
 * @param {{ shape: string, output: string, dtype?: string, layers?: number, like?: string, seed?: number }} request
 * @returns {{ parameters: number, fileBytes: number }}
 * @throws {RangeError} on an unknown shape or dtype, or too many layers
 */
export function synthesize({ shape, output, dtype = 'f32', layers, like = BUNDLED, seed = 1 }) {
  const known = SHAPES[shape];
  const type = DTYPES[dtype];
  if (!known) throw new RangeError(`${shape}: not one of ${Object.keys(SHAPES).join(', ')}`);
  if (!type) throw new RangeError(`--dtype ${dtype}: not one of ${Object.keys(DTYPES).join(', ')}`);
  const config = layers === undefined ? known.config : cutDepth(known.config, layers);
  const tensors = parameterShapes(config).toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const parameters = tensors.reduce((sum, tensor) => sum + tensor.shape.reduce((a, b) => a * b, 1), 0);
  if (layers === undefined && parameters !== known.parameters)
    throw new Error(`${shape}: expected ${known.parameters} parameters, found ${parameters}`);

  mkdirSync(output, { recursive: true });
  writeJson(join(output, 'config.json'), { ...config, torch_dtype: type.torch });
  writeFileSync(join(output, 'README.md'), modelCard(shape, parameters, type.torch, like, seed));
  copyTokenizer(like, output, config.vocab_size);
  const depth = config.num_layers ?? config.n_layer ?? config.num_hidden_layers;
  const model = { trained: openTrained(like), seed, layers: depth, conv1d: config.model_type === 'gpt2' };
  const fileBytes = writeSafetensors(join(output, 'model.safetensors'), tensors, type, (tensor) =>
    drawTensor(tensor, model),
  );
  return { parameters, fileBytes };
}

function copyTokenizer(from, to, vocabularySize) {
  const path = join(from, 'tokenizer.json');
  if (!existsSync(path)) return;
  const { model, added_tokens = [] } = JSON.parse(readFileSync(path, 'utf8'));
  const ids = [...Object.values(model.vocab), ...added_tokens.map((token) => token.id)];
  if (ids.some((id) => id >= vocabularySize)) return;
  for (const name of readdirSync(from).filter((name) =>
    /^(tokenizer|vocab|merges|special_tokens)/.test(name),
  ))
    copyFileSync(join(from, name), join(to, name));
}

function modelCard(shape, parameters, torchDtype, like, seed) {
  const base = like.split('/').filter(Boolean).at(-1);
  return `---
license: cc0-1.0
library_name: transformers
tags:
- synthetic
---
# ${shape}, synthetic

Not a trained model. The tensors have the names and shapes of ${shape} (${parameters.toLocaleString('en-US')} parameters,
${torchDtype}); the values are random, drawn from the row scales, column scales and tails of ${base}'s trained weights,
role by role (seed ${seed}). Good for measuring size, speed and memory; as a language model it is noise.
`;
}

const writeJson = (path, value) => writeFileSync(path, `${JSON.stringify(value, null, 2)}\n`);

function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      output: { type: 'string', short: 'o' },
      dtype: { type: 'string' },
      layers: { type: 'string' },
      like: { type: 'string' },
      seed: { type: 'string' },
    },
  });
  if (positionals.length !== 1 || values.output === undefined) throw new RangeError(USAGE);
  const numbers = Object.fromEntries(
    ['layers', 'seed']
      .filter((name) => values[name] !== undefined)
      .map((name) => [name, Number(values[name])]),
  );
  const started = performance.now();
  const { parameters, fileBytes } = synthesize({ shape: positionals[0], ...values, ...numbers });
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(
    `${values.output}: ${parameters.toLocaleString('en-US')} parameters, ${fileBytes} bytes in ${seconds} s`,
  );
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  try {
    main();
  } catch (error) {
    console.error(error.message);
    process.exitCode = 2;
  }
}
