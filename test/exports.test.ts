import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import * as weightpress from '../src/index.js';

it('exports what is documented, and nothing else', () => {
  // After a deliberate change: npx vitest run test/exports.test.ts -u
  expect(Object.keys(weightpress).sort()).toMatchInlineSnapshot(`
    [
      "ConnectionError",
      "GGUF_MIXTURES",
      "GGUF_TYPES",
      "InputError",
      "IntegrityError",
      "ONNX_DTYPES",
      "ROLES",
      "TRANSFORMS",
      "VERSION",
      "analyze",
      "attachQuality",
      "auditClaim",
      "auditFile",
      "catalog",
      "compareEmbeddings",
      "compress",
      "decompress",
      "decompressToMemory",
      "embed",
      "evaluate",
      "exportGguf",
      "exportOnnx",
      "exportSafetensors",
      "generate",
      "inspect",
      "inspectGguf",
      "isInputError",
      "lab",
      "open",
      "planPush",
      "push",
      "quantizeGguf",
      "safeOpen",
      "serve",
      "verify",
    ]
  `);
});

it('knows the version of its package', () => {
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  expect(weightpress.VERSION).toBe(version);
});
