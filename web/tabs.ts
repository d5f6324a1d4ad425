// One part of the page at a time.
import { find } from './page.js';

const tabs = () => [...document.querySelectorAll<HTMLButtonElement>('[role=tab]')];

/** Makes the tabs work, by mouse and by keyboard. @param shown called when another part is shown. */
export function startTabs(shown: () => void): void {
  const list = find('tabs');
  for (const tab of tabs())
    tab.onclick = () => {
      selectTab(tab.id);
      shown();
    };
  list.onkeydown = ({ key }) => {
    const visible = tabs();
    const at = visible.indexOf(document.activeElement as HTMLButtonElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: -1 }[key];
    if (to === undefined || at < 0) return;
    const next = visible.at(to % visible.length)!;
    next.focus();
    next.click();
  };
}

/** Shows the part of a tab. */
export function selectTab(id: string): void {
  for (const tab of tabs()) {
    const isSelected = tab.id === id;
    tab.setAttribute('aria-selected', String(isSelected));
    tab.tabIndex = isSelected ? 0 : -1;
    find(tab.getAttribute('aria-controls')!).hidden = !isSelected;
  }
  // the chosen tensor is beside the table and the map
  find('explore').classList.toggle('inactive', id !== 'tab-tensors' && id !== 'tab-map');
}
