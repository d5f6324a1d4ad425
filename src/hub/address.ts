/** A URL, or a model or file on the Hub. */
export type Address =
  | { readonly kind: 'url'; readonly url: string }
  | {
      readonly kind: 'hub';
      readonly repository: string;
      readonly revision: string;
      /** Path of a file in the repository; undefined for the whole model. */
      readonly file: string | undefined;
    };

export type HubAddress = Extract<Address, { kind: 'hub' }>;

const OWNER = '[A-Za-z0-9][\\w.-]{0,95}';
const NAME = '[A-Za-z0-9_][\\w.-]{0,95}';
const FOLDERS = '(?:[\\w.-]+\\/){0,16}';
const ENDING = '\\.(?:wpk|gguf|safetensors|bin|pt|pth|ckpt|onnx)';
/** `owner/name` as the Hub allows it, with an optional file and an optional revision. */
const HUB = new RegExp(`^(${OWNER}\\/${NAME})(?:\\/(${FOLDERS}[\\w.-]+${ENDING}))?(?:@([\\w./-]{1,200}))?$`);
const FILE = new RegExp(`${ENDING}$`);

/**
 * Parses `user/name`, `user/name@revision`, `user/name/file.wpk` and `https://…`. Returns undefined for everything else, which can only
 * be a local path. That includes `folder/file.wpk`, so that a mistyped path is not sent to the Hub.
 */
export function parseAddress(text: string): Address | undefined {
  if (/^https?:\/\//.test(text) && URL.canParse(text)) return { kind: 'url', url: text };
  const [, repository, file, revision] = HUB.exec(text) ?? [];
  if (repository === undefined || text.split(/[/@]/).includes('..')) return;
  if (file === undefined && revision === undefined && FILE.test(repository)) return;
  return { kind: 'hub', repository, revision: revision ?? 'main', file };
}
