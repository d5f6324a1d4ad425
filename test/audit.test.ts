import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { beforeAll, describe, expect, test } from 'vitest';
import { checkMatrices, checkParameters, countParameters } from '../src/audit/architecture.js';
import { checkClaim } from '../src/audit/bounds.js';
import { findClosedForm } from '../src/audit/closed-form.js';
import { correlate } from '../src/audit/correlation.js';
import { findGenerator } from '../src/audit/generators.js';
import { waterFilling } from '../src/audit/water-filling.js';
import { whitened } from '../src/audit/whitening.js';
import { fromFloat16, toFloat16 } from '../src/core/float16.js';
import { complaint, weightpress } from './helpers/cli.js';
import { pickle, raw } from './helpers/pickle.js';
import { folder, safetensors, seededRandom } from './helpers/safetensors.js';
import { seedArtifact } from './helpers/seed-artifact.js';

const MODEL = 'examples/gpt-neo-tiny';
const place = folder({});
const at = (name: string) => join(place, name);

interface Statement {
  readonly claim: string;
  readonly verdict: string;
  readonly because: string;
}

function audit(...args: string[]): { status: number | null; statements: Statement[] } {
  const { status, stdout, stderr } = weightpress('audit', ...args, '--json');
  expect(stderr).toBe('');
  return { status, statements: JSON.parse(stdout).statements };
}

const verdictOn = (statements: readonly Statement[], claim: RegExp) =>
  statements.find((statement) => claim.test(statement.claim));

function gaussian(count: number, seed: number): number[] {
  const random = seededRandom(seed);
  return Array.from(
    { length: count },
    () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random()),
  );
}

describe('closed forms', () => {
  const list = (of: (k: number) => number) => Float64Array.from({ length: 100 }, (_, k) => of(k));

  test.each([
    ['a constant', () => 0.3, /^0\.3$/],
    ['a ramp', (k: number) => 2 - 0.01 * k, /polynomial of degree 1/],
    ['a cubic', (k: number) => 1 + k ** 3 / 1000 - k, /polynomial of degree 3/],
    ['a geometric decay', (k: number) => 5 * 0.93 ** k, /^5 exp\(-0\.0725/],
    ['a sinusoid', (k: number) => Math.sin(0.7 * k + 1), /oscillation of 0\.7 radians/],
    ['a damped one', (k: number) => 0.99 ** k * Math.cos(1.618 * k), /oscillation of 1\.618 radians/],
  ] as const)('%s is found', (_, of, formula) => {
    expect(findClosedForm(list(of), false, 'double')?.formula).toMatch(formula);
    expect(findClosedForm(Float64Array.from(list(of), Math.fround), false, 'single')?.formula).toBeDefined();
  });

  test('a complex exponential, whatever its angle and decay', () => {
    for (const [angle, decay] of [
      [1.618, 1e-5],
      [0.1, 0.05],
      [3, 0],
      [5.5, 0.01],
    ] as const) {
      const values = new Float64Array(200);
      for (let k = 0; k < 100; k++) {
        values[2 * k] = Math.exp(-decay * k) * Math.cos(angle * k);
        values[2 * k + 1] = Math.exp(-decay * k) * Math.sin(angle * k);
      }
      expect(findClosedForm(values, true, 'double')?.formula).toContain(`exp(i ${angle} k)`);
      values[77]! += 1e-6;
      expect(findClosedForm(values, true, 'double')).toBeUndefined();
    }
  });

  test('in half precision too, but not in what is constant but for noise', () => {
    const halves = (of: (k: number) => number) =>
      Float64Array.from({ length: 200 }, (_, k) => fromFloat16(toFloat16(of(k))));
    expect(
      findClosedForm(
        halves((k) => k / 100 - 1),
        false,
        'half',
      )?.degree,
    ).toBe(1);
    expect(
      findClosedForm(
        halves((k) => Math.exp(-k / 50)),
        false,
        'half',
      )?.formula,
    ).toMatch(/exp\(-0\.0[12]/);
    const noise = gaussian(200, 5);
    expect(
      findClosedForm(
        Float64Array.from(noise, (value) => 1 + 0.005 * value),
        false,
        'half',
      ),
    ).toBeUndefined();
    expect(
      findClosedForm(
        Float64Array.from(noise, (value) => 1 + 1e-5 * value),
        false,
        'single',
      ),
    ).toBeUndefined();
  });

  test('none is found in random numbers, or in few', () => {
    for (let seed = 0; seed < 50; seed++) {
      expect(findClosedForm(Float64Array.from(gaussian(100, seed)), false, 'half')).toBeUndefined();
      expect(findClosedForm(Float64Array.from(gaussian(100, seed)), true, 'half')).toBeUndefined();
    }
    expect(findClosedForm(Float64Array.of(1, 2, 3, 4), false, 'double')).toBeUndefined();
  });
});

const GENERATORS: [string, number[]][] = [
  [
    'numpy.random.seed(42); uniform',
    [
      0.3745401188473625, 0.9507143064099162, 0.7319939418114051, 0.5986584841970366, 0.15601864044243652,
      0.15599452033620265, 0.05808361216819946, 0.8661761457749352, 0.6011150117432088, 0.7080725777960455,
      0.020584494295802447, 0.9699098521619943, 0.8324426408004217, 0.21233911067827616, 0.18182496720710062,
      0.18340450985343382,
    ],
  ],
  [
    'numpy.random.seed(7); normal',
    [
      1.690525703800356, -0.4659373705408328, 0.0328201636785844, 0.40751628299650783, -0.7889230286257386,
      0.00206557290594813, -0.0008903858579313628, -1.7547243063454208, 1.0176580056634932,
      0.6004985159195494, -0.6254289739667597, -0.17154826119572117, 0.5052993741967516, -0.261356415191647,
      -0.2427490786725466, -1.4532414124907906,
    ],
  ],
  [
    'random.seed(123); random',
    [
      0.052363598850944326, 0.08718667752263232, 0.4072417636703983, 0.10770023493843905, 0.9011988779516946,
      0.0381536661023224, 0.5362020400339269, 0.33219769850967984, 0.8520866189293687, 0.1596623967219699,
      0.3372166571092755, 0.3337963946289553, 0.24516335251761112, 0.0016705535792228554, 0.4362757934152184,
      0.08761349975042287,
    ],
  ],
  [
    'torch.manual_seed(0); rand',
    [
      0.49625658988952637, 0.7682217955589294, 0.08847743272781372, 0.13203048706054688, 0.30742281675338745,
      0.6340786814689636, 0.4900934100151062, 0.8964447379112244, 0.455627977848053, 0.6323062777519226,
      0.3488934636116028, 0.40171730518341064, 0.022325754165649414, 0.16885894536972046, 0.2938884496688843,
      0.518521785736084,
    ],
  ],
];

describe('known generators', () => {
  // the first draws of each, from NumPy 1.24, Python 3.11 and PyTorch 1.13
  test.each(GENERATORS)('%s', (name, values) => {
    expect(findGenerator(Float64Array.from(values))).toBe(name);
    expect(findGenerator(Float64Array.from(values, (value) => 0.02 * value - 3))).toBe(name);
    const wrong = Float64Array.from(values);
    wrong[9]! += 0.01;
    expect(findGenerator(wrong)).toBeUndefined();
  });
});

describe('claims', () => {
  const of = (claim: Parameters<typeof checkClaim>[0]) => checkClaim(claim).map(({ verdict }) => verdict);

  test('modest ones are possible', () => {
    expect(of({ ratio: 1 / 0.66, original: 'bf16', originalBits: 16, lossless: true })).toEqual([
      'supported',
    ]);
    expect(of({ ratio: 1 / 0.66, originalBits: 16, lossless: true })).toEqual(['supported']);
    expect(of({ ratio: 1.19, lossless: true })).toEqual(['supported']);
    expect(of({ parameters: 1e9, bytes: (4.5 / 8) * 1e9, kl: 0.003 })).toEqual(['supported']);
    expect(of({ bitsPerWeight: 1, relativeError: 0.26 })).toEqual(['supported']);
  });

  test('what depends on weights that are not there is not contradicted', () => {
    // float32 that holds bf16 comes to 33 %; the weights of examples/gpt-neo-tiny have a bound of 0.043 at 2 bits
    expect(of({ ratio: 3, lossless: true })).toEqual(['cannot be checked']);
    expect(of({ bitsPerWeight: 2, relativeError: 0.058 })).toEqual(['cannot be checked']);
    expect(of({ lossless: true })).toEqual(['cannot be checked']);
  });

  test('impossible ones are not', () => {
    for (const original of ['f32', 'f16', 'bf16'])
      expect(
        of({ bitsPerWeight: 8, original, originalBits: original === 'f32' ? 32 : 16, lossless: true }),
      ).toEqual(['contradicted']);
    for (const quality of [{ lossless: true }, { kl: 0.01 }, { relativeError: 0.5 }])
      expect(of({ ratio: 853, ...quality })).toEqual(['contradicted']);
    expect(of({ bitsPerWeight: 1, relativeError: 0.1 })).toEqual(['contradicted']); // 0.25 if Gaussian
    expect(of({ parameters: 1e9, ratio: 10, bytes: 1e9 })).toContain('contradicted');
    expect(of({ bitsPerWeight: 4, ratio: 10 })).toContain('contradicted');
    expect(of({ parameters: 1e9, values: 1e6, bytes: 1e5 })).toContain('contradicted'); // 0.8 bits a value
    expect(of({ parameters: 1e9, values: 1e6, ratio: 1000, bytes: 4e6 })).toEqual([
      'supported',
      'supported',
      'cannot be checked',
    ]);
  });

  const neo = {
    model_type: 'gpt_neo',
    num_layers: 24,
    hidden_size: 2048,
    num_heads: 16,
    vocab_size: 50257,
    max_position_embeddings: 2048,
    attention_types: [[['global', 'local'], 12]],
  };
  const dialogue = {
    model_type: 'gpt2',
    n_layer: 12,
    n_embd: 768,
    n_head: 12,
    vocab_size: 50257,
    n_positions: 1024,
  };
  test.each([
    [neo, 1_315_575_808, 'supported', /^matches the/],
    [neo, 1_300_000_000, 'supported', /rounded/],
    [neo, 1_400_000_000, 'contradicted', /1,418,502,144 with the tied head counted twice/],
    [neo, 1_316_000_001, 'contradicted', /^the GPT-Neo architecture has 1,315,575,808$/],
    [neo, 1_355_373_568, 'contradicted', /^the GPT-Neo architecture has 1,315,575,808$/],
    [dialogue, 124_439_808, 'supported', /^matches the/],
    [
      dialogue,
      175_620_096,
      'contradicted',
      /175,620,096 with the tied head counted twice, causal masks counted/,
    ],
    [dialogue, 175_600_000, 'contradicted', /; 175,620,096 with/],
  ] as const)('parameters of %o: %i %s', (config, claimed, verdict, because) => {
    expect(checkParameters(claimed, countParameters(config)!)).toMatchObject({
      verdict,
      because: expect.stringMatching(because),
    });
  });

  test.each([
    [
      'seed.yaml',
      1,
      { 'a ratio of 853:1 of bytes': 'contradicted', 'values in': 'contradicted', lossless: 'contradicted' },
    ],
    ['lossless.yaml', 0, { lossless: 'supported' }],
    ['four-bits.yaml', 0, { 'a KL divergence': 'supported' }],
  ])('%s', (file, status, verdicts) => {
    const found = audit(join('test/claims', file));
    expect(found.status).toBe(status);
    for (const [claim, verdict] of Object.entries(verdicts))
      expect(verdictOn(found.statements, new RegExp(claim))?.verdict).toBe(verdict);
  });

  test('water-filling: one variance is 2^(-2R); energy in few weights is cheap to keep', () => {
    expect(waterFilling([{ weights: 100, variance: 3 }], 2)).toBeCloseTo(2 ** -4, 9);
    const parts = [
      { weights: 90, variance: 0.01 },
      { weights: 10, variance: 1 },
    ];
    // 0.2 bits a weight: all of it to the ten, 2 bits each
    expect(waterFilling(parts, 0.2)).toBeCloseTo((90 * 0.01 + 10 * 2 ** -4) / 10.9, 6);
  });

  test('from a file, with a model to measure', () => {
    writeFileSync(
      at('claim.yaml'),
      `model: ${MODEL}\nparameters: 1348864\nratio: "853:1"\noriginal: bf16\nlossless: true\n`,
    );
    const { status, statements } = audit(at('claim.yaml'));
    expect(status).toBe(1);
    expect(verdictOn(statements, /1,348,864 parameters/)?.verdict).toBe('supported');
    expect(verdictOn(statements, /lossless/)).toMatchObject({
      verdict: 'contradicted',
      because: expect.stringMatching(/were measured to take/),
    });
    // of what is stored, not of float32
    writeFileSync(at('bf16.yaml'), `model: ${MODEL}\nratio: 3\nlossless: true\n`);
    expect(verdictOn(audit(at('bf16.yaml')).statements, /lossless at 5.33/)?.verdict).toBe('contradicted');
    writeFileSync(at('config.json'), readFileSync(join(MODEL, 'config.json')));
    const miscounted = audit('--parameters', '1873152', '--model', at('config.json')).statements;
    expect(verdictOn(miscounted, /1,873,152 parameters/)?.because).toMatch(/the tied head counted twice/);
    writeFileSync(at('modest.yaml'), `model: ${MODEL}\nratio: 1.5\noriginal: bf16\nlossless: true\n`);
    expect(audit(at('modest.yaml')).status).toBe(0);
  });

  test.each([
    ['size: 3\n', /unknown key "size"/],
    ['ratio: fast\n', /ratio: expected a positive number, found "fast"/],
    ['[1, 2', /not YAML/],
    ['', /expected keys/],
    [`a: &a [x,x]\nb: &b [*a,*a,*a,*a,*a,*a]\nc: [*b,*b,*b,*b,*b,*b]\n`, /YAML/],
  ])('%j is refused in one line', (text, message) => {
    writeFileSync(at('bad.yaml'), text);
    const { status, lines, stack, message: said } = complaint(weightpress('audit', at('bad.yaml')));
    expect({ status, lines, stack }).toEqual({ status: 2, lines: 1, stack: false });
    expect(said).toMatch(message);
  });
});

describe('files that are what they say', { tags: 'slow' }, () => {
  beforeAll(() => {
    weightpress('compress', MODEL, '-o', at('exact.wpk'));
    weightpress('compress', MODEL, '-o', at('lossy.wpk'), '--bits', '3', '--calibration-tokens', '4096');
  }, 60_000);

  test.each(['exact.wpk', 'lossy.wpk'])('%s contradicts nothing', (name) => {
    const { status, statements } = audit(at(name), '--against', MODEL);
    expect(statements.filter(({ verdict }) => verdict === 'contradicted')).toEqual([]);
    expect(status).toBe(0);
    expect(verdictOn(statements, /holds weights of/)?.verdict).toBe('supported');
    const size = statSync(at(name)).size.toLocaleString('en-US');
    expect(verdictOn(statements, /the file holds 1,348,864/)?.because).toContain(`in a wpk of ${size} bytes`);
    if (name === 'exact.wpk') expect(verdictOn(statements, /lossless/)?.verdict).toBe('supported');
    else expect(verdictOn(statements, /a KL divergence of/)?.verdict).toBe('supported');
  });

  test('a model and its folder', () => {
    expect(audit(join(MODEL, 'model.safetensors'), '--against', MODEL).status).toBe(0);
    expect(audit(MODEL).status).toBe(0);
  });

  test('recognizes the model with wider types, other names or only a part of it', () => {
    const data = new Uint8Array(Float32Array.from(gaussian(4096, 3)).buffer);
    const file = (...names: string[]) =>
      safetensors(names.map((name) => ({ name, dtype: 'F32', shape: [64, 64], data })));
    writeFileSync(at('whole.safetensors'), file('transformer.h.0.w', 'transformer.h.1.w'));
    writeFileSync(at('part.safetensors'), file('h.1.w'));
    writeFileSync(at('unnamed.safetensors'), file('x'));
    const verdict = (name: string) =>
      verdictOn(audit(at(name), '--against', at('whole.safetensors')).statements, /holds weights of/)
        ?.verdict;
    expect(verdict('part.safetensors')).toBe('supported');
    expect(verdict('unnamed.safetensors')).toBe('cannot be checked');
  });

  test('packed integers are not counted as what they hold; matrices that lack are', () => {
    const count = countParameters(JSON.parse(readFileSync(join(MODEL, 'config.json'), 'utf8')))!;
    const tensor = (dtype: 'I32' | 'BF16') => ({ name: 'w', dtype, shape: [64, 64], lengthBytes: 0 });
    expect(checkMatrices([tensor('I32')], count).verdict).toBe('cannot be checked');
    expect(checkMatrices([tensor('BF16')], count).verdict).toBe('contradicted');
  });

  test('another model of the same shape does not pass for it', () => {
    const random = gaussian(4096, 3);
    const file = (values: number[]) =>
      safetensors([
        { name: 'w', dtype: 'F32', shape: [64, 64], data: new Uint8Array(Float32Array.from(values).buffer) },
      ]);
    writeFileSync(at('a.safetensors'), file(random));
    writeFileSync(at('b.safetensors'), file(gaussian(4096, 4)));
    expect(audit(at('a.safetensors'), '--against', at('a.safetensors')).status).toBe(0);
    expect(audit(at('a.safetensors'), '--against', at('b.safetensors')).status).toBe(1);
  });
});

describe('pickled numbers', () => {
  const weights = gaussian(1024, 1);
  beforeAll(() => {
    const data = new Uint8Array(Float32Array.from(weights).buffer);
    writeFileSync(
      at('m.safetensors'),
      safetensors([{ name: 'layer.weight', dtype: 'F32', shape: [32, 32], data }]),
    );
  });
  const against = (values: unknown) => {
    writeFileSync(at('numbers.pkl.gz'), gzipSync(pickle({ 'layer.weight': values })));
    return audit(at('numbers.pkl.gz'), '--against', at('m.safetensors'));
  };
  const INFORMATION = /carries information/;

  test('that are noisy weights are found to carry information', () => {
    const noise = gaussian(100, 2);
    const { statements } = against(noise.map((value, i) => weights[i]! + value));
    expect(verdictOn(statements, INFORMATION)?.verdict).toBe('supported');
  });

  const byMagnitude = weights
    .map((value, i) => ({ value, i }))
    .sort((a, b) => Math.abs(b.value) - Math.abs(a.value));

  test('that are the largest weights are, by their indices or by their order alone', { tags: 'slow' }, () => {
    const largest = byMagnitude.slice(0, 200);
    const values = largest.map(({ value }) => value);
    const indices = largest.map(({ i }) => i);
    const byIndex = against({ values, indices });
    expect(byIndex.status).toBe(0);
    expect(verdictOn(byIndex.statements, INFORMATION)).toMatchObject({
      verdict: 'supported',
      because: expect.stringMatching(/and the weights at layer.weight.indices/),
    });
    expect(verdictOn(against(values).statements, INFORMATION)).toMatchObject({
      verdict: 'supported',
      because: expect.stringMatching(/and the signs of the largest weights/),
    });
  });

  test('that are low frequencies of all weights are', () => {
    const dct = Array.from({ length: 64 }, (_, k) =>
      weights.reduce((sum, w, n) => sum + w * Math.cos((Math.PI * k * (n + 0.5)) / weights.length), 0),
    );
    expect(verdictOn(against(dct).statements, INFORMATION)).toMatchObject({
      verdict: 'supported',
      because: expect.stringMatching(/and the dct of all weights/),
    });
  });

  test('that are anything else are not, which contradicts nothing', { tags: 'slow' }, () => {
    const permuted = byMagnitude
      .map(({ value }) => value)
      .sort((a, b) => Math.sin(9e5 * a) - Math.sin(9e5 * b));
    for (const values of [gaussian(100, 9), permuted.slice(0, 300)]) {
      const { status, statements } = against(values);
      expect(status).toBe(0);
      expect(verdictOn(statements, INFORMATION)?.verdict).toBe('cannot be checked');
      expect(verdictOn(statements, /computed from weights/)).toBeUndefined();
    }
  });

  test('that follow from their index are', () => {
    const { status, statements } = against(Array.from({ length: 100 }, (_, k) => 0.97 ** k));
    expect(status).toBe(1);
    expect(verdictOn(statements, /computed from weights/)?.because).toMatch(
      /1 of 1 lists .* exp\(-0\.030459/,
    );
    expect(verdictOn(statements, INFORMATION)?.verdict).toBe('contradicted');
  });

  const only = (value: unknown) => {
    writeFileSync(at('only.pkl'), pickle(value));
    return audit(at('only.pkl'));
  };

  test('long lists in a formula count as numbers; short ones are named', () => {
    const formula = (count: number) => Array.from({ length: count }, (_, k) => 0.5 * 0.999 ** k);
    const honest = Object.fromEntries(Array.from({ length: 5 }, (_, i) => [`b${i}`, gaussian(100, i)]));
    const most = only({ a: formula(1000), ...honest });
    expect(verdictOn(most.statements, /computed from weights/)?.verdict).toBe('contradicted');
    const few = only({ a: formula(100), ...honest });
    expect(few.status).toBe(0);
    expect(verdictOn(few.statements, /100 of the numbers follow from a formula/)?.verdict).toBe('supported');
  });

  test('lists that count or repeat are no formula that says anything', () => {
    const ids = Array.from({ length: 500 }, (_, k) => k);
    const { status, statements } = only({
      ids,
      more: ids,
      ones: ids.map(() => 1.5),
      weights: gaussian(20, 8),
    });
    expect(status).toBe(0);
    expect(verdictOn(statements, /formula|computed/)).toBeUndefined();
  });

  test('that are in a dictionary by index are counted', () => {
    const members = gaussian(50, 4).flatMap((value, i) =>
      [i * i, value].map((item) => pickle(item).slice(2, -1)),
    );
    writeFileSync(at('sparse.pkl'), raw(0x80, 2, '}(', ...members, 'u.'));
    const { statements } = audit(at('sparse.pkl'));
    expect(verdictOn(statements, /holds 100 numbers/)?.because).toMatch(
      /^2 lists of at most 50 \(integer, float64\)/,
    );
  });

  test('in more members or levels than anyone reads are looked at, or refused, in time', () => {
    const members = Object.fromEntries(
      Array.from({ length: 20_000 }, (_, i) => [`m${i}`, i % 2 ? '3:1' : i]),
    );
    expect(verdictOn(only(members).statements, /ratios/)).toBeDefined();
    writeFileSync(at('deep.pkl'), raw(0x80, 2, ']'.repeat(5000), 'a'.repeat(4999), '.'));
    const { status, lines, stack, message } = complaint(weightpress('audit', at('deep.pkl')));
    expect({ status, lines, stack }).toEqual({ status: 2, lines: 1, stack: false });
    expect(message).toMatch(/nested deeper than 1000 levels/);
  });

  test('whose metadata contradicts them', () => {
    const part = (kept: number) => ({
      original_params: 1000,
      compressed_params: kept,
      ratio: `${1000 / kept}:1`,
      numbers: gaussian(kept, kept),
    });
    const parts = { a: part(20), b: part(40), c: part(50) };
    writeFileSync(
      at('good.pkl'),
      pickle({ parts, summary: { original_parameters: 3000, compressed_parameters: 110 } }),
    );
    expect(audit(at('good.pkl')).status).toBe(0);
    writeFileSync(
      at('bad.pkl'),
      pickle({
        parts: { ...parts, d: { ...part(20), compressed_params: 500 } },
        summary: { original_parameters: 5000 },
      }),
    );
    const { statements } = audit(at('bad.pkl'));
    expect(verdictOn(statements, /summary.original_parameters is 5,000/)?.verdict).toBe('contradicted');
    expect(verdictOn(statements, /610 values are stored/)?.because).toMatch(/have 130/);
    expect(verdictOn(statements, /ratios/)?.because).toMatch(/3 of 4/);
  });
});

describe('smooth lists and spectra', () => {
  const smooth: [string, (k: number) => number][] = [
    ['an oscillation', (k) => Math.cos(1.618 * k)],
    ['a decay', (k) => Math.exp(-k / 20)],
    ['a curve', (k) => Math.sin(k / 30) + k / 100],
  ];
  test.each(smooth)('%s is not taken for another of its kind', (_, of) => {
    // an outlier makes a spectrum an oscillation; whitening leaves nothing of either, but noise
    const noise = gaussian(400, 6);
    const [a, b] = [0, 200].map((from) =>
      whitened(Float64Array.from({ length: 200 }, (_, k) => of(k + from / 50) + 0.01 * noise[from + k]!)),
    );
    expect(Math.abs(correlate(a!, b!))).toBeLessThan(0.25);
  });

  test('numbers that are not smooth are left as alike as they are', () => {
    const values = Float64Array.from(gaussian(200, 7));
    expect(correlate(whitened(values), whitened(values.map((value) => 3 - 2 * value)))).toBeLessThan(-0.999);
    expect(whitened(new Float64Array(50).fill(2)).every((value) => value === 0)).toBe(true);
  });
});

describe('the artifact that this project began with', () => {
  const SEED = at('seed.pkl.gz');
  beforeAll(() => writeFileSync(SEED, seedArtifact()));

  test('has lists that no weight enters, whatever model they are held against', () => {
    expect(verdictOn(audit(SEED, '--against', MODEL).statements, /carries information/)).toMatchObject({
      verdict: 'contradicted',
      because: expect.stringMatching(/^all 99 lists of at least 16 numbers are formulas/),
    });
  });

  test('holds 9,902 values of a closed form, and contradicts its own table', () => {
    const { status, statements } = audit(SEED);
    expect(status).toBe(1);
    expect(verdictOn(statements, /holds 9,902 numbers/)?.verdict).toBe('supported');
    expect(verdictOn(statements, /computed from weights/)).toMatchObject({
      verdict: 'contradicted',
      because: expect.stringMatching(/99 of 99 lists .*exp\(i 1\.618034 k\).*compressed_params/),
    });
    const contradicted = statements
      .filter(({ verdict }) => verdict === 'contradicted')
      .map(({ claim }) => claim)
      .join('\n');
    for (const claim of [
      '1,662,141 values are stored',
      '1,355,373,568 parameters',
      '1,418,008,576 parameters',
      '100 matrices',
      `1,662,141 values in ${statSync(SEED).size.toLocaleString('en')} bytes`,
    ])
      expect(contradicted).toContain(claim);
    expect(verdictOn(statements, /1,418,008,576 parameters/)?.because).toMatch(
      /1,418,008,576 with the tied head counted twice, norms and biases left out except the last norm's scale/,
    );
  });
});
