import { existsSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { onTestFinished } from 'vitest';
import { compress } from '../../src/index.js';
import { digestOf } from './fleet.js';
import { Running } from './processes.js';
import { WorkerProcess } from './queue-processes.js';
import { folder } from './safetensors.js';
import { embeddingFolder, sentences } from './sentences.js';

// Machines are processes here.

/** A queue, a store, and the processes of one test, which end with it. */
export class Machines {
  constructor(
    readonly queue: string,
    readonly store: string = folder(),
  ) {}

  /** Options of the command line. */
  get flags(): string[] {
    return ['--queue', this.queue, '--store', this.store];
  }

  /** Starts `weightpress worker`. */
  worker(...flags: readonly string[]): Running {
    return running(['worker', ...this.flags, ...flags]);
  }

  /** Starts a worker by a script: its locks can be short, and it says which jobs it does. */
  scripted(options: Readonly<Record<string, unknown>> = {}): WorkerProcess {
    const { store } = this;
    const worker = new WorkerProcess(
      this.queue,
      { store, concurrency: 2, ...options },
      'test/helpers/machines-worker.js',
    );
    onTestFinished(async () => {
      worker.kill('SIGKILL');
      await worker.ended;
    });
    return worker;
  }

  /** Starts `weightpress compress`. */
  compress({ model, flags }: Sample, output: string): Running {
    return running(['compress', model, output, ...flags, ...this.flags]);
  }

  /** Returns the names of the results in the store, a folder: `matrix/KEY`. */
  results(): string[] {
    return kindsIn(this.store).flatMap((kind) =>
      readdirSync(join(this.store, kind))
        .filter((key) => existsSync(join(this.store, kind, key, 'result')))
        .map((key) => `${kind}/${key}`),
    );
  }

  /** Returns what tells whether a result was written again. */
  versionOf(result: string): string {
    const { ino, mtimeMs } = statSync(join(this.store, result, 'result'));
    return `${ino} ${mtimeMs}`;
  }

  /** Waits until the store has so many results of a kind. */
  async hasResults(kind: string, count: number): Promise<void> {
    while (this.results().filter((name) => name.startsWith(`${kind}/`)).length < count) await setTimeout(5);
  }
}

const KINDS = ['windows', 'moments', 'matrix', 'encode', 'measure', 'blocks', 'model'];
const kindsIn = (store: string) => KINDS.filter((kind) => existsSync(join(store, kind)));

/** Starts the command line; it ends with the test. */
export function running(
  args: readonly string[],
  options: ConstructorParameters<typeof Running>[1] = {},
): Running {
  const started = new Running(args, options);
  onTestFinished(async () => {
    started.kill('SIGKILL');
    await started.ended;
  });
  return started;
}

/** A model, and how it is compressed. */
export interface Sample {
  readonly model: string;
  /** Options of `compress`. */
  readonly flags: readonly string[];
  /** SHA-256 of the file that one process writes. */
  readonly sha256: string;
}

/** Returns a fixture to compress to 7 bits per weight: about 150 jobs of 20 ms. */
export async function smallSample(name = 'gpt2'): Promise<Sample> {
  const model = embeddingFolder(name);
  const text = join(folder(), 'text.txt');
  const lines = sentences(700).join('\n');
  writeFileSync(text, lines);
  const output = join(folder(), 'one.wpk');
  await compress(model, output, {
    budget: { bits: 7 },
    calibration: { text: lines, name: 'held out of text.txt', tokens: 640 },
  });
  const flags = ['--bits', '7', '--calibrate', text, '--calibration-tokens', '640'];
  return { model, flags, sha256: await digestOf(output) };
}
