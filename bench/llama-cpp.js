// The perplexity of a GGUF file on the same tokens, here and in llama.cpp (node-llama-cpp), which keeps keys and values in float32.
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { getLlama, LlamaLogLevel } from 'node-llama-cpp';
import { evaluate } from '../dist/evaluation/node/run.js';
import { openModel } from '../dist/open/open.js';
import { loadTokenizer } from '../dist/tokenizer/tokenizer.js';

const USAGE = 'usage: node bench/llama-cpp.js FILE.gguf TEXT [--window N] [--windows N]';
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { window: { type: 'string', default: '512' }, windows: { type: 'string', default: '2' } },
});
const [path, text] = positionals;
if (!text) throw new Error(USAGE);
const [length, count] = [Number(values.window), Number(values.windows)];

const model = await openModel(path);
const tokenizer = await loadTokenizer(model);
const ids = tokenizer.encode(readFileSync(text, 'utf8'));
const windows = Array.from({ length: count }, (_, i) => {
  const window = ids.slice(i * length, (i + 1) * length);
  return [tokenizer.firstToken ?? window[0], ...window.slice(1)];
});
const here = await evaluate(model, { tokens: windows.flat(), window: length });
await model.close();

const llama = await getLlama({
  gpu: false,
  build: 'never',
  progressLogs: false,
  logLevel: LlamaLogLevel.error,
});
const there = await llama.loadModel({ modelPath: path });
const context = await there.createContext({
  contextSize: length,
  flashAttention: false,
  experimentalKvCacheKeyType: 'F32',
  experimentalKvCacheValueType: 'F32',
});
const asked = {
  generateNext: { probabilities: true, options: { temperature: 1, topK: 0, topP: 1, minP: 0 } },
};
let nll = 0;
const sequence = context.getSequence();
for (const window of windows) {
  await sequence.clearHistory();
  for (let i = 0; i + 1 < window.length; i += 16) {
    const piece = window.slice(i, Math.min(i + 16, window.length - 1));
    const results = await sequence.controlledEvaluate(piece.map((token) => [token, asked]));
    for (const [j, { next }] of results.entries()) nll -= Math.log(next.probabilities.get(window[i + j + 1]));
  }
}
await there.dispose();
const tokens = count * (length - 1);
const other = Math.exp(nll / tokens);
console.log(`  ${tokens} tokens: here ${here.perplexity.toFixed(4)}, llama.cpp ${other.toFixed(4)}`);
console.log(`  difference ${(100 * (here.perplexity / other - 1)).toFixed(3)} %`);
