import { Command } from 'commander';
import { decompress, openContainer } from '../press/decompress.js';
import { forceOption, jsonOption, threadsOption } from './options.js';
import { bytes, duration, print, printJson, progress } from './terminal.js';

interface Options {
  readonly output: string;
  readonly threads?: number;
  readonly force?: boolean;
  readonly json?: boolean;
}

/** `weightpress decompress` */
export function decompressCommand(): Command {
  return new Command('decompress')
    .description("restore a model's folder from a .wpk file, byte for byte, every digest checked")
    .argument('<file>', 'a .wpk file')
    .requiredOption('-o, --output <folder>', 'the folder to make')
    .addOption(threadsOption())
    .addOption(forceOption())
    .addOption(jsonOption())
    .addHelpText('after', '\nExample:\n  $ weightpress decompress gpt-neo-1.3B.wpk -o gpt-neo-1.3B')
    .action(async (path: string, { output, json, ...options }: Options) => {
      const started = performance.now();
      const container = await openContainer(path);
      const { weightFiles, sideFiles } = container.directory;
      await container.close();
      const total = weightFiles.reduce((sum, { length }) => sum + length, 0);
      const bar = progress('decompressing', total);
      try {
        await decompress(path, output, { ...options, onProgress: bar.update });
      } finally {
        bar.stop();
      }
      const seconds = (performance.now() - started) / 1000;
      const files = [...sideFiles, ...weightFiles].map(({ name, length, sha256 }) => ({
        name,
        length,
        sha256,
      }));
      if (json) return printJson({ folder: output, files, seconds });
      print(
        `${files.length} files, ${bytes(files.reduce((sum, { length }) => sum + length, 0))}, each with the SHA-256 of its original`,
      );
      print(`${duration(seconds)}, ${bytes(Math.round(total / seconds))}/s; written to ${output}`);
    });
}
