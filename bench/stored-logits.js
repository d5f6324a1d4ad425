// What storing logits in 16 bits would do to a divergence: a model against itself, where 0 is right. docs/quality.md has the table.
// usage: node bench/stored-logits.js [MODEL_DIR]...   default: both trained models of the repository
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { table } from '../dist/cli/format.js';
import { print } from '../dist/cli/terminal.js';
import { fromFloat16, toFloat16 } from '../dist/core/float16.js';
import { predict } from '../dist/evaluation/logits.js';
import { LOGITS_FILES } from '../dist/evaluation/node/logits-file.js';
import { evaluate, open } from '../dist/index.js';

const TOKENS = 2048;
const WINDOW = 256;

const inRepository = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url));

/** Each returns log-probabilities as they are read back. */
const STORES = {
  'float32, lossless codec': (logits, logNormalizer) => logits.map((logit) => logit - logNormalizer),
  float16: (logits) => {
    const rounded = logits.map((logit) => fromFloat16(toFloat16(logit)));
    const { logNormalizer } = predict(rounded, 0, rounded.length, 0);
    return rounded.map((logit) => logit - logNormalizer);
  },
  '16 bits as in llama.cpp': (logits, logNormalizer) => {
    const largest = logits.reduce((a, b) => Math.max(a, b));
    const least = Math.max(
      logits.reduce((a, b) => Math.min(a, b)),
      largest - 16,
    );
    const step = (largest - least) / 65535;
    return logits.map((logit) => {
      const stored = step * Math.round((Math.max(logit, least) - least) / step) + least - logNormalizer;
      return stored > -16 ? stored : Number.NEGATIVE_INFINITY; // such tokens are left out of the sum
    });
  },
};

/** Returns the divergence of float64 logits from what was stored of them. */
function divergence(stored, logits, logNormalizer) {
  let sum = 0;
  for (let i = 0; i < logits.length; i++)
    if (stored[i] > Number.NEGATIVE_INFINITY)
      sum += Math.exp(stored[i]) * (stored[i] - logits[i] + logNormalizer);
  return sum;
}

async function measure(path) {
  const folder = mkdtempSync(join(tmpdir(), 'weightpress-logits-'));
  const model = await open(path);
  try {
    const file = join(folder, 'logits');
    const text = readFileSync(inRepository('fixtures/text/evaluation.txt'), 'utf8');
    const { savedLogits } = await evaluate(model, {
      ...{ text, window: WINDOW, maxTokens: TOKENS, saveLogits: file },
    });
    const stored = await LOGITS_FILES.open(file);
    const { tokens, vocabulary } = stored.origin;
    const values = Object.fromEntries(Object.keys(STORES).map((name) => [name, []]));
    const row = new Float32Array(vocabulary);
    for (let token = 0; token < tokens; token++) {
      await stored.readInto(row);
      const logits = Float64Array.from(row);
      const { logNormalizer } = predict(logits, 0, vocabulary, 0);
      for (const [name, store] of Object.entries(STORES))
        values[name].push(divergence(store(logits, logNormalizer), logits, logNormalizer));
    }
    await stored.close();
    const lossless = savedLogits.bytes / tokens / vocabulary;
    return { vocabulary, values, bytesPerLogit: [lossless, 2, 2] };
  } finally {
    await model.close();
    rmSync(folder, { recursive: true });
  }
}

const paths = process.argv.slice(2);
for (const path of paths.length
  ? paths
  : ['examples/gpt-neo-tiny', 'fixtures/models/gpt-neo-small'].map(inRepository)) {
  const { vocabulary, values, bytesPerLogit } = await measure(path);
  print(`${path}: ${TOKENS} tokens in windows of ${WINDOW}, vocabulary of ${vocabulary}\n`);
  const rows = Object.entries(values).map(([name, kl], i) => [
    name,
    bytesPerLogit[i].toFixed(2),
    ...[kl.reduce((a, b) => a + b) / kl.length, Math.min(...kl), Math.max(...kl)].map((value) =>
      value.toExponential(1),
    ),
  ]);
  print(`${table(['stored as', 'bytes per logit', 'mean KL, nats', 'minimum', 'maximum'], rows)}\n`);
}
