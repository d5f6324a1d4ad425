// The files cached in this browser.
import { DownloadCache } from '../dist/browser/cache.js';
import { bytes } from './numbers.js';
import { button, element, find } from './page.js';

/** Lists the cached files, each with a button that removes it. */
export async function showCachedFiles(): Promise<void> {
  const cache = await DownloadCache.open();
  const files = (await cache?.list()) ?? [];
  const items = files.map(({ address, haveBytes, lengthBytes, usedAt }) => {
    const remove = button('Remove', async () => {
      await cache!.remove(address);
      await showCachedFiles();
    });
    remove.setAttribute('aria-label', `Remove ${address}`);
    const size = ` ${bytes(haveBytes)} of ${bytes(lengthBytes)}, last used ${usedAt.toLocaleString()} `;
    return element('li', [element('code', address), size, remove]);
  });
  const nothing = cache ? 'None.' : 'This browser provides no storage for this page.';
  find('cached-files').replaceChildren(...(items.length ? items : [element('li', nothing)]));
}
