/** What a user may mean by a name that is not on disk. */
export type Address =
  | { readonly kind: 'url'; readonly url: string }
  | {
      readonly kind: 'hub';
      readonly repository: string;
      readonly revision: string;
      /** A file of it; undefined for the model that it is. */
      readonly file: string | undefined;
    };

export type HubAddress = Extract<Address, { kind: 'hub' }>;

/** Owner and name as the Hub allows them, perhaps a file, perhaps a revision. */
const HUB =
  /^([A-Za-z0-9][\w.-]{0,95}\/[A-Za-z0-9_][\w.-]{0,95})(?:\/([\w.-]+\.(?:wpk|gguf|safetensors|bin|pt)))?(?:@([\w./-]{1,200}))?$/;

/**
 * Reads `user/name`, `user/name@revision`, `user/name/file.wpk` and `https://…`; undefined for everything else, which can only be
 * the name of a file.
 */
export function parseAddress(text: string): Address | undefined {
  if (/^https?:\/\//.test(text) && URL.canParse(text)) return { kind: 'url', url: text };
  const [, repository, file, revision = 'main'] = HUB.exec(text) ?? [];
  if (repository === undefined || `${repository}/${revision}`.split('/').includes('..')) return;
  return { kind: 'hub', repository, revision, file };
}
