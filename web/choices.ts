// The weights of a repository, to choose from.

import { bytes } from './numbers.js';
import type { Choice, Repository } from './open-hub.js';
import { button, element, find } from './page.js';

/** Lists what a repository has, if it is more than one. @param current the one that is open. */
export function showChoices(
  { choices, model }: Repository,
  current: Choice | undefined,
  open: (choice: Choice) => void,
): void {
  const items = choices.map((choice) => {
    const made = button(choice.name, () => open(choice));
    if (choice === current) made.setAttribute('aria-current', 'true');
    made.append(element('span', bytes(choice.lengthBytes), 'under'));
    return element('li', [made]);
  });
  find('choices-of').textContent = `Weights in ${model.repository}`;
  find('choice-list').replaceChildren(...items);
  find('choices').hidden = choices.length < 2;
  find<HTMLDetailsElement>('choices').open = !current;
}

export function hideChoices(): void {
  find('choices').hidden = true;
}
