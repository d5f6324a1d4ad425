import type { Fleet, Task } from './fleet.js';
import { readPayloads } from './jobs/matrix.js';

/** Matrices that are read before they are asked for. */
const AHEAD = 4;

/** Has workers encode matrices. Each can be read as soon as it is encoded; those that follow it are read ahead. */
export class EncodedMatrices {
  private readonly indices: ReadonlyMap<string, number>;
  private readonly encoded: readonly Promise<string>[];
  private readonly reading = new Map<number, Promise<Uint8Array[]>>();

  /** @param tasks in the order in which the matrices are asked for; their labels are the names of the tensors. */
  constructor(
    private readonly fleet: Fleet,
    tasks: readonly Task<'encode'>[],
    private readonly signal: AbortSignal | undefined,
  ) {
    this.indices = new Map(tasks.map(({ label }, i) => [label, i]));
    this.encoded = fleet.begin(tasks, { name: 'encoding', kind: 'encode', signal });
  }

  /** Returns the payloads of a matrix. @throws as {@link Fleet.run}. */
  payloads(tensor: string): Promise<Uint8Array[]> {
    const index = this.indices.get(tensor)!;
    const end = Math.min(index + 1 + AHEAD, this.encoded.length);
    for (let next = index; next < end; next++) if (!this.reading.has(next)) this.read(next);
    const found = this.reading.get(index)!;
    this.reading.delete(index);
    return found;
  }

  private read(index: number): void {
    const { fleet, encoded, signal } = this;
    const read = encoded[index]!.then((key) => readPayloads(fleet.store, key, signal));
    read.catch(() => {}); // thrown to who asks for it
    this.reading.set(index, read);
  }
}
