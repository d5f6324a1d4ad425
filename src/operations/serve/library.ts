import { relative, sep } from 'node:path';
import { isInputError } from '../../core/errors.js';
import { wpkFilesIn } from '../wpk-files.js';
import { type Found, findWpk } from './open-wpk.js';
import { readStored, type Shared, type StoredRepository } from './stored-repository.js';

/** Time after which a request looks for new files; tests shorten it. */
export const FRESH = { ms: 1000 };

/** A .wpk file, whether it can be read or not. */
interface Shelved {
  readonly key: string;
  readonly repository?: StoredRepository;
  readonly problem?: string;
}

/** The .wpk files below a folder, by the names that they are served under. What was added, replaced or removed is seen by the next request. */
export class Library {
  private shelved: ReadonlyMap<string, Shelved> = new Map();
  private named: ReadonlyMap<string, StoredRepository> = new Map();
  private said: ReadonlySet<string> = new Set();
  private refreshing: Promise<void> | undefined;
  private lastMs = Number.NEGATIVE_INFINITY;

  /** @param onProblem is called once for each problem: a file that cannot be read, a name that does not say which file is meant. */
  constructor(
    private readonly folder: string,
    private readonly shared: Shared,
    private readonly onProblem: (message: string) => void,
  ) {}

  /** Returns all repositories by their names. @param maxAgeMs how old the list may be. @throws {InputError} when the folder cannot be read. */
  async repositories(maxAgeMs = FRESH.ms): Promise<ReadonlyMap<string, StoredRepository>> {
    if (performance.now() - this.lastMs >= maxAgeMs) {
      this.refreshing ??= this.refresh().finally(() => {
        this.refreshing = undefined;
      });
      await this.refreshing;
    }
    return this.named;
  }

  private async refresh(): Promise<void> {
    const shelved = new Map<string, Shelved>();
    for (const path of await wpkFilesIn(this.folder)) {
      const found = await findWpk(path).catch(() => undefined); // removed in the meantime
      const known = this.shelved.get(path);
      if (found) shelved.set(path, known?.key === found.key ? known : await this.shelve(found));
    }
    const keys = new Set([...shelved.values()].map(({ key }) => key));
    for (const { key } of this.shelved.values()) if (!keys.has(key)) this.shared.open.forget(key);
    this.shelved = shelved;
    const problems = [...shelved.values()].flatMap(({ problem }) => problem ?? []);
    this.named = this.nameAll(problems);
    this.report(problems);
    this.lastMs = performance.now();
  }

  private async shelve(found: Found): Promise<Shelved> {
    const { key } = found;
    try {
      return { key, repository: await readStored(found, this.shared) };
    } catch (error) {
      if (!isInputError(error)) throw error;
      return { key, problem: error.message };
    }
  }

  /** Returns every repository by its path, and by the name that it has on the Hub where that is unambiguous. */
  private nameAll(problems: string[]): Map<string, StoredRepository> {
    const repositories = [...this.shelved.values()].flatMap(({ repository }) => repository ?? []);
    const byPath = grouped(repositories, ({ found }) => nameOfPath(relative(this.folder, found.path)));
    const bySource = grouped(repositories, ({ source }) => source);
    const named = new Map<string, StoredRepository>();
    for (const [name, all] of byPath)
      if (all.length === 1) named.set(name, all[0]!);
      else problems.push(`${pathsOf(all)}: served under no name, because each would be ${name}`);
    for (const [name, all] of bySource) {
      if (byPath.has(name)) continue;
      const exact = all.filter(({ isLossless }) => isLossless);
      const [chosen, ...others] = exact.length ? exact : all;
      if (!others.length) named.set(name, chosen!);
      else problems.push(`${pathsOf([chosen!, ...others])}: served by their paths, because each is ${name}`);
    }
    return named;
  }

  private report(problems: readonly string[]): void {
    for (const problem of problems) if (!this.said.has(problem)) this.onProblem(problem);
    this.said = new Set(problems);
  }
}

const pathsOf = (repositories: readonly StoredRepository[]) =>
  repositories.map(({ found }) => found.path).join(', ');

/** Returns the name of a file by its path in the folder: the last folder and the name, in characters that the Hub allows. */
export function nameOfPath(path: string): string {
  return path
    .replace(/\.wpk$/, '')
    .split(sep)
    .slice(-2)
    .map((part) => part.replaceAll(/[^A-Za-z0-9_.-]+/g, '-'))
    .join('/');
}

function grouped<Item>(items: readonly Item[], keyOf: (item: Item) => string | undefined) {
  const groups = new Map<string, Item[]>();
  for (const item of items) {
    const key = keyOf(item);
    if (key !== undefined) groups.set(key, [...(groups.get(key) ?? []), item]);
  }
  return groups;
}
