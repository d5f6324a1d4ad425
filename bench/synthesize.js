// Writes a model with the real shapes of an architecture and weights that look trained: a model of realistic size to measure on,
// without downloading the real one.
import { mkdirSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { parameterShapes } from '../dist/architectures/shapes.js';
import { elementCount } from '../dist/core/dtype.js';
import { writeHeader } from '../dist/models/safetensors/writer.js';
import { openModel } from '../dist/open/open.js';
import { DTYPES } from './synthetic/floats.js';
import { cutDepth, depthOf, SHAPES } from './synthetic/shapes.js';
import { drawTensor } from './synthetic/tensor.js';
import { profilesOf } from './synthetic/trained.js';

const USAGE = `usage: node bench/synthesize.js SHAPE -o DIR [--dtype f32|bf16|f16] [--layers N] [--like MODEL_DIR] [--seed N]
shapes: ${Object.keys(SHAPES).join(', ')}`;

const BUNDLED = fileURLToPath(new URL('../examples/gpt-neo-tiny', import.meta.url));

/**
 * Writes config.json, model.safetensors, README.md and, if all its ids are in the vocabulary, the tokenizer of `like`.
 * The same arguments give the same bytes.
 * @param {{ shape: string, output: string, dtype?: string, layers?: number, like?: string, seed?: number }} request
 * @returns {Promise<{ parameters: number, fileBytes: number }>}
 * @throws {RangeError} on an unknown shape or dtype, or too many layers
 */
export async function synthesize({ shape, output, dtype = 'f32', layers, like = BUNDLED, seed = 1 }) {
  const known = SHAPES[shape];
  const type = DTYPES[dtype];
  if (!known) throw new RangeError(`${shape}: not one of ${Object.keys(SHAPES).join(', ')}`);
  if (!type) throw new RangeError(`--dtype ${dtype}: not one of ${Object.keys(DTYPES).join(', ')}`);
  const config = layers === undefined ? known.config : cutDepth(known.config, layers);
  const tensors = parameterShapes(config).toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const parameters = tensors.reduce((sum, tensor) => sum + elementCount(tensor.shape), 0);
  if (layers === undefined && parameters !== known.parameters)
    throw new Error(`${shape}: expected ${known.parameters} parameters, found ${parameters}`);

  mkdirSync(output, { recursive: true });
  const write = (name, content) => writeFileSync(join(output, name), content);
  write('config.json', `${JSON.stringify({ ...config, torch_dtype: type.torch }, null, 2)}\n`);
  write('README.md', modelCard(shape, parameters, type.torch, basename(like), seed));
  const trained = await openModel(like);
  try {
    for (const file of await tokenizerFiles(trained, config.vocab_size)) write(file.name, await file.read());
    const path = join(output, 'model.safetensors');
    const model = {
      trained: profilesOf(trained),
      seed,
      layers: depthOf(config),
      conv1d: config.model_type === 'gpt2',
    };
    return { parameters, fileBytes: await writeWeights(path, tensors, type, model) };
  } finally {
    await trained.close();
  }
}

async function writeWeights(path, tensors, type, model) {
  const stored = tensors.map(({ name, shape }) => ({
    name,
    shape,
    dtype: type.name,
    lengthBytes: elementCount(shape) * type.bytes,
  }));
  const { headerBytes, fileBytes } = writeHeader(stored, { format: 'pt' });
  const file = await open(path, 'w');
  try {
    await file.writeFile(headerBytes);
    for (const tensor of tensors)
      for await (const values of drawTensor(tensor, model)) await file.writeFile(type.narrow(values));
  } finally {
    await file.close();
  }
  return fileBytes;
}

/** Returns the tokenizer's files if all its ids are below `vocabularySize`; else none. */
async function tokenizerFiles({ sideFiles }, vocabularySize) {
  const tokenizer = await sideFiles.find(({ name }) => name === 'tokenizer.json')?.read();
  if (!tokenizer) return [];
  const { model, added_tokens = [] } = JSON.parse(new TextDecoder().decode(tokenizer));
  const ids = [...Object.values(model.vocab), ...added_tokens.map((token) => token.id)];
  if (ids.some((id) => id >= vocabularySize)) return [];
  return sideFiles.filter(({ name }) => /^(tokenizer|vocab|merges|special_tokens)/.test(name));
}

function modelCard(shape, parameters, torchDtype, like, seed) {
  return `---
license: cc0-1.0
library_name: transformers
tags:
- synthetic
---
# ${shape}, synthetic

Not a trained model. The tensors have the names and shapes of ${shape} (${parameters.toLocaleString('en-US')} parameters,
${torchDtype}); the values are random, drawn from the row scales, column scales and tails of ${like}'s trained weights,
role by role (seed ${seed}). Good for measuring size, speed and memory; as a language model it is noise.
`;
}

async function main() {
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
  const { parameters, fileBytes } = await synthesize({ shape: positionals[0], ...values, ...numbers });
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(
    `${values.output}: ${parameters.toLocaleString('en-US')} parameters, ${fileBytes} bytes in ${seconds} s`,
  );
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  try {
    await main();
  } catch (error) {
    console.error(error.message);
    process.exitCode = 2;
  }
}
