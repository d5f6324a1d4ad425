// Size against cosine: an embedding model at budgets of the mean cosine, beside int8 by onnxruntime on the same sentences.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { count, table } from '../dist/cli/format.js';
import { print } from '../dist/cli/terminal.js';
import { sentencesOf } from '../dist/evaluation/embedding/sentences.js';
import { compareEmbeddings, compress, open } from '../dist/index.js';
import { openEmbeddingProgram } from '../dist/inference/embedding/program.js';
import { SentenceTokenizer } from '../dist/inference/embedding/tokens.js';
import { machine } from './measure.js';

const USAGE = `usage: node bench/embedding.js MODEL_DIR [--calibrate TEXT] [--text TEXT] [--cosine 0.999,0.99,0.95] [--python PYTHON]
  --text FILE      what cosines are measured on, beside the held-out sentences of the calibration
  --python PYTHON  measures int8 too: a Python with torch, transformers, onnx and onnxruntime`;

const fixture = (name) => fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url));
/** Tokens of the text that are measured. */
const MAX_TOKENS = 20000;

const option = { type: 'string' };
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    calibrate: { ...option, default: fixture('text/calibration.txt') },
    text: { ...option, default: fixture('text/evaluation.txt') },
    cosine: { ...option, default: '0.999,0.99,0.95' },
    python: option,
  },
});
if (positionals.length !== 1) throw new RangeError(USAGE);
const [path] = positionals;
const folder = mkdtempSync(join(tmpdir(), 'weightpress-embedding-'));
const text = readFileSync(values.text, 'utf8');
const rows = [];
try {
  const original = await open(path);
  for (const cosine of values.cosine.split(',').map(Number)) {
    const output = join(folder, 'model.wpk');
    const calibration = {
      text: readFileSync(values.calibrate, 'utf8'),
      name: 'held out',
      statisticsPath: join(folder, 'statistics'),
    };
    const started = performance.now();
    const { fileBytes, quality } = await compress(original, output, {
      budget: { cosine },
      calibration,
      force: true,
    });
    const seconds = (performance.now() - started) / 1000;
    const compressed = await open(output);
    const measured = await compareEmbeddings(compressed, { against: original, text, maxTokens: MAX_TOKENS });
    await compressed.close();
    rows.push([
      `weightpress --cosine ${cosine}`,
      count(fileBytes),
      quality.cosine.mean.toFixed(5),
      ...[measured.cosine.mean, measured.cosine.p1, measured.cosine.min, measured.rank.mean].map((value) =>
        value.toFixed(5),
      ),
      seconds.toFixed(0),
    ]);
  }
  if (values.python) rows.push(...(await peers(original)));
  await original.close();
} finally {
  rmSync(folder, { recursive: true });
}
const head = ['', 'bytes', 'held out', 'mean cosine', '1 %', 'minimum', 'ranks', 'seconds'];
print(`${machine()}; ${path}\n\n${table(head, rows)}`);

/** Measures int8 on the same sentences. */
async function peers(original) {
  const tokenizer = await SentenceTokenizer.load(await openEmbeddingProgram(original));
  let left = MAX_TOKENS;
  const sentences = sentencesOf(text)
    .map((sentence) => tokenizer.encode(sentence).tokens)
    .filter(({ length }) => {
      left -= length;
      return left >= 0;
    });
  const file = join(folder, 'tokens.json');
  writeFileSync(file, JSON.stringify(sentences));
  const script = fileURLToPath(new URL('embedding-peers.py', import.meta.url));
  const found = execFileSync(values.python, [script, path, file], { encoding: 'utf8', maxBuffer: 1e8 });
  return JSON.parse(found.trim().split('\n').at(-1)).map(({ name, bytes, mean, p1, min }) => [
    name,
    count(bytes),
    '',
    ...[mean, p1, min].map((value) => value.toFixed(5)),
    '',
    '',
  ]);
}
