import type { FetchedFolder } from './folder.js';

/** The repository that a run has downloaded into the Hub's cache, if it has. */
export class Fetched {
  private folder: FetchedFolder | undefined;

  /** Notes a repository; `onFolder` of those who open models. */
  readonly note = (folder: FetchedFolder): void => {
    this.folder = folder;
  };

  /** Removes what the run has downloaded of it. */
  async forget(): Promise<void> {
    await this.folder?.forget();
  }
}
