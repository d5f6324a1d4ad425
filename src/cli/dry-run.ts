import { type Dtype, elementCount } from '../core/dtype.js';
import { sumOf } from '../core/sum.js';
import { Fetched } from '../hub/fetched.js';
import { checkFolder } from '../operations/folder.js';
import { inspect } from '../operations/inspect.js';
import { withBase } from '../operations/lossless/base.js';
import { type CompressLosslessOptions, previewLossless } from '../operations/lossless/compress.js';
import { previewLossy } from '../quantization/preview.js';
import { bytes, count, table } from './format.js';
import { type BudgetFlags, budgetOptions } from './lossy.js';
import { openWhole } from './open.js';
import { fileNotes } from './summary-table.js';
import { print, printJson, printLine } from './terminal.js';

const NOTHING_WRITTEN = 'dry run: nothing was written';

/** Prints the files that a lossless `compress` would store, and how, without writing. */
export async function showLossless(
  path: string,
  output: string,
  options: CompressLosslessOptions,
  json: boolean | undefined,
): Promise<void> {
  const { files, leftOut } = await previewLossless(path, output, { ...options, keep: false }, (contents) => ({
    files: [
      ...contents.weightSources.map(({ name, source, storedBytes, tensors, note }) => ({
        name,
        bytes: storedBytes ?? source.byteLength,
        stored:
          note === undefined ? `${count(tensors.length)} tensors (${dtypesOf(tensors)})` : `bytes: ${note}`,
      })),
      ...contents.sideFiles.map(({ name, lengthBytes }) => ({
        name,
        bytes: lengthBytes,
        stored: 'deflated',
      })),
    ],
    leftOut: contents.leftOut,
  }));
  const total = sumOf(files, (file) => file.bytes);
  if (json) return printJson({ output, files, bytes: total, leftOut, written: false });
  print(
    table(
      ['file', 'size', 'stored as'],
      files.map(({ name, bytes: size, stored }) => [name, bytes(size), stored]),
      ['left', 'right', 'left'],
    ),
  );
  for (const line of fileNotes({ weightFiles: [], leftOut })) printLine(line);
  print();
  printLine(`${count(files.length)} files, ${bytes(total)}, losslessly into ${output}; ${NOTHING_WRITTEN}`);
}

const dtypesOf = (tensors: readonly { readonly dtype: Dtype }[]) =>
  [...new Set(tensors.map(({ dtype }) => dtype))].join(', ');

/** Prints what a lossy `compress` would quantize, and on what text it would calibrate, without writing. */
export async function showLossy(
  path: string,
  output: string,
  options: BudgetFlags & {
    readonly state?: string;
    readonly exclude?: readonly string[];
    readonly base?: string;
    readonly force?: boolean;
  },
  json: boolean | undefined,
): Promise<void> {
  const { state, exclude, base: given, force } = options;
  const fetched = new Fetched();
  const model = await openWhole(path, { onFolder: fetched.note, state, exclude });
  try {
    const { calibration, ...settings } = await budgetOptions(options);
    const text = calibration || undefined;
    const { tensors, tokens, ...plan } = await withBase(output, { base: given, force }, (base) =>
      previewLossy(model, output, { ...settings, force, base, calibration: text }),
    );
    const treatments = ['quantized', 'rounded', 'exact'] as const;
    const rows = treatments.map((treatment) => {
      const own = tensors.filter((tensor) => tensor.treatment === treatment);
      return {
        treatment,
        tensors: own.length,
        weights: sumOf(own, ({ tensor }) => elementCount(tensor.shape)),
      };
    });
    const seconds = sumOf(plan.stages, (stage) => stage.seconds);
    if (json)
      return printJson({ output, budget: settings.budget, rows, tokens, text: text?.name, written: false });
    print(
      table(
        ['weights', 'tensors', 'weights'],
        rows.map((row) => [row.treatment, count(row.tensors), count(row.weights)]),
      ),
    );
    print();
    if (tokens)
      printLine(
        `calibrated on about ${count(Math.round(tokens.calibrationTokens))} tokens, measured on ${count(Math.round(tokens.measuredTokens))} (${text!.name})`,
      );
    printLine(
      `into ${output}, in about ${Math.ceil(seconds / 60)} min on two cores with onnxruntime-node; ${NOTHING_WRITTEN}`,
    );
  } finally {
    await model.close();
    await fetched.forget();
  }
}

/** Prints the files that `decompress` would restore, without writing. @throws {InputError} for an output that exists. */
export async function showRestored(
  path: string,
  output: string,
  options: { readonly force?: boolean; readonly json?: boolean },
): Promise<void> {
  const { sideFiles, weightFiles } = await inspect(path);
  await checkFolder(output, [path], options.force ?? false);
  const files = [...weightFiles, ...sideFiles].map(({ name, length }) => ({ name, bytes: length }));
  if (options.json) return printJson({ folder: output, files, written: false });
  print(
    table(
      ['file', 'size'],
      files.map(({ name, bytes: size }) => [name, bytes(size)]),
    ),
  );
  print();
  printLine(
    `${count(files.length)} files, ${bytes(sumOf(files, (file) => file.bytes))}, into ${output}; ${NOTHING_WRITTEN}`,
  );
}
