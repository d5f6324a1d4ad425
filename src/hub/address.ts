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

const OWNER = '[A-Za-z0-9][\\w.-]{0,95}';
const NAME = '[A-Za-z0-9_][\\w.-]{0,95}';
const FOLDERS = '(?:[\\w.-]+\\/){0,16}';
const ENDING = '\\.(?:wpk|gguf|safetensors|bin|pt|pth|ckpt|onnx)';
/** Owner and name as the Hub allows them, perhaps a file, perhaps a revision. */
const HUB = new RegExp(`^(${OWNER}\\/${NAME})(?:\\/(${FOLDERS}[\\w.-]+${ENDING}))?(?:@([\\w./-]{1,200}))?$`);
const FILE = new RegExp(`${ENDING}$`);

/**
 * Reads `user/name`, `user/name@revision`, `user/name/file.wpk` and `https://…`; undefined for everything else, which can only be
 * the name of a file: so `folder/file.wpk`, which is nothing to be asked of others when it is mistyped.
 */
export function parseAddress(text: string): Address | undefined {
  if (/^https?:\/\//.test(text) && URL.canParse(text)) return { kind: 'url', url: text };
  const [, repository, file, revision] = HUB.exec(text) ?? [];
  if (repository === undefined || text.split(/[/@]/).includes('..')) return;
  if (file === undefined && revision === undefined && FILE.test(repository)) return;
  return { kind: 'hub', repository, revision: revision ?? 'main', file };
}
