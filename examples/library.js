// The library from a model to a smaller file and back: `npm run build`, then `node examples/library.js`.
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  analyze,
  attachQuality,
  auditClaim,
  catalog,
  compress,
  decompress,
  decompressToMemory,
  evaluate,
  exportGguf,
  exportSafetensors,
  generate,
  InputError,
  inspect,
  open,
  planPush,
  ROLES,
  verify,
} from 'weightpress';

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const place = await mkdtemp(join(tmpdir(), 'weightpress-library-'));
const at = (name) => join(place, name);

// A path, a name on the Hub (`user/name`) or an address. Only headers are read.
const model = await open(here('gpt-neo-tiny'));
try {
  // A tensor, as float32 whatever it is stored as. `bytes()` gives the elements as they are.
  const tensor = model.tensors.find(({ name }) => name === 'transformer.wte.weight');
  const row = await tensor.floats({ start: 0, end: tensor.shape[1] });
  console.log(
    `${tensor.name} ${tensor.dtype} [${tensor.shape}], first row: ${row.slice(0, 3).join(' ')} ...`,
  );

  // What it is, and what its bits hold.
  const { parameters, roles, license } = await analyze(model);
  console.log(
    `${parameters.unique} parameters, ${roles.length} of ${ROLES.length} roles, license ${license.id}`,
  );

  // Losslessly: every file of the folder, byte for byte.
  const lossless = await compress(model, at('lossless.wpk'));
  console.log(`lossless: ${lossless.originalBytes} -> ${lossless.fileBytes} bytes`);

  // To a budget, with progress. A signal ends it, and leaves no output.
  const stages = new Set();
  const small = await compress(model, at('small.wpk'), {
    budget: { bits: 3 },
    calibration: { tokens: 4096 },
    signal: AbortSignal.timeout(600_000),
    onProgress: ({ stage, done, total, unit }) => stages.add(`${stage} (${unit})`) && done <= total,
  });
  console.log(`3 bits per weight: ${small.fileBytes} bytes; ${[...stages].join(', ')}`);

  // Any kind of model is opened alike. `await using` closes it where the language has that.
  const compressed = await open(at('small.wpk'));
  let evaluation;
  try {
    const text = await readFile(here('held-out.txt'), 'utf8');
    evaluation = await evaluate(compressed, { text, against: model, maxTokens: 1024 });
    console.log(
      `perplexity ${evaluation.reference.perplexity.toFixed(2)} -> ${evaluation.perplexity.toFixed(2)}, ` +
        `KL divergence ${evaluation.kl.mean.toFixed(4)} nats per token`,
    );
    const { text: written } = await generate(compressed, 'It was a dark night, and', { maxTokens: 8 });
    console.log(`It was a dark night, and${written}`);
    await exportSafetensors(compressed, at('safetensors'), { dtype: 'BF16' });
  } finally {
    await compressed.close();
  }

  // The result is stored in the file, where inspect and catalog find it.
  await attachQuality(at('small.wpk'), { ...evaluation, text: { name: 'held-out.txt' } });

  // Every byte back, each file checked against its SHA-256; or checked without writing.
  await decompress(at('lossless.wpk'), at('restored'));
  const inMemory = await decompressToMemory(at('lossless.wpk'));
  const { good, bitExact, files } = await verify(at('lossless.wpk'), { against: model });
  console.log(`${files} files restored, ${inMemory.size} in memory, sound: ${good}, bit-exact: ${bitExact}`);

  // What .wpk files hold, from their directories alone.
  for (const { file, bitsPerWeight, klNats } of await catalog(place))
    console.log(
      `${file}: ${bitsPerWeight.toFixed(2)} bits per weight, KL ${klNats?.toFixed(4) ?? 'not stored'}`,
    );
  const { tensors } = await inspect(at('small.wpk'));
  console.log(`${tensors.filter(({ codec }) => codec === 'trellis').length} matrices are quantized`);

  // A claim is held against what is possible.
  const { statements } = await auditClaim({ lossless: true, ratio: 100 }, model);
  for (const { claim, verdict } of statements) console.log(`${verdict}: ${claim}`);

  // What \`push\` would upload, with the license that lets it or does not: nothing is sent.
  const plan = await planPush(at('small.wpk'), 'user/gpt-neo-tiny-wpk');
  console.log(`${plan.file} to ${plan.repository}, ${plan.license.id}, may be shared: ${plan.permissive}`);

  // Errors that are the input's fault say where, and what helps.
  for (const attempt of [
    () => compress(model, at('small.wpk'), { budget: { bits: 3 } }),
    () => exportGguf(model, at('model.gguf')),
    () => compress(model, at('none.wpk'), { signal: AbortSignal.abort(new Error('no longer needed')) }),
  ])
    await attempt().catch((error) => {
      const known = error instanceof InputError;
      console.log(known ? `${error.code ?? 'refused'}: ${error.what}` : `ended: ${error.message}`);
    });
} finally {
  await model.close();
  await rm(place, { recursive: true });
}
