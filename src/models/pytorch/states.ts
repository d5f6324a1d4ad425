import { InputError } from '../../core/errors.js';
import type { PickleValue } from '../pickle/values.js';
import { TorchTensor } from './tensors.js';

/** A map of tensors in a checkpoint. */
export interface State {
  /** Its keys joined by dots; empty for the top-level map. */
  readonly path: string;
  readonly tensors: ReadonlyMap<string, TorchTensor>;
}

/** Matches paths of optimizer states, whose tensors have the shapes of the weights. */
const OPTIMIZER = /optim/i;
const MAX_LISTED = 8;

/**
 * Returns the requested state of a checkpoint, or else the only one that can be a model: a map with at least one matrix that is not an
 * optimizer's.
 * @param requested keys joined by dots; `.` for all tensors under their full names. @param file name for messages.
 * @throws {InputError} when there is none or, listing them, more than one.
 */
export function chooseState(value: PickleValue, requested: string | undefined, file: string): State {
  if (requested !== undefined) return stateAt(value, requested === '.' ? '' : requested, file);
  const states = statesIn(value);
  const likely = states.filter(({ tensors }) => [...tensors.values()].some(({ shape }) => shape.length > 1));
  const [only, ...others] = likely.length ? likely : states;
  if (!only) throw new InputError('no model tensors in the checkpoint', { file });
  if (others.length)
    throw new InputError(
      `holds several states: ${listed([only, ...others])}`,
      { file },
      { code: 'several-states' },
    );
  return only;
}

/** Returns all tensors of a checkpoint by their keys joined by dots; a shared tensor only once, under its first name. */
export function allTensors(value: PickleValue): Map<string, TorchTensor> {
  const found = new Map<string, TorchTensor>();
  walk(value, '', (path, item) => {
    if (item instanceof TorchTensor) found.set(path, item);
  });
  return found;
}

function stateAt(value: PickleValue, path: string, file: string): State {
  const item = path ? itemAt(value, path) : value;
  const tensors = item === undefined ? new Map() : allTensors(item);
  if (tensors.size) return { path, tensors };
  const states = statesIn(value);
  const found = states.length ? `, found ${listed(states)}` : '';
  throw new InputError(`no state ${JSON.stringify(path)}${found}`, { file });
}

/** Returns the item at a path of keys joined by dots; a key may contain dots itself. */
function itemAt(value: PickleValue, path: string): PickleValue | undefined {
  for (const [key, item] of entriesOf(value)) {
    if (path === key) return item;
    const found = path.startsWith(`${key}.`) ? itemAt(item, path.slice(key.length + 1)) : undefined;
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Returns the items of a map or list with their keys as strings. */
function entriesOf(value: PickleValue): [key: string, item: PickleValue][] {
  if (!(value instanceof Map || Array.isArray(value))) return [];
  return [...value.entries()].flatMap(([key, item]): [string, PickleValue][] =>
    typeof key === 'string' || typeof key === 'number' ? [[`${key}`, item]] : [],
  );
}

/** Returns the maps that directly contain tensors of at least one dimension, outermost first. */
function statesIn(value: PickleValue): State[] {
  const states: State[] = [];
  walk(value, '', (path, item) => {
    if (!(item instanceof Map) || OPTIMIZER.test(path)) return;
    const tensors = new Map<string, TorchTensor>();
    for (const [name, tensor] of item)
      if (typeof name === 'string' && tensor instanceof TorchTensor) tensors.set(name, tensor);
    if ([...tensors.values()].some(({ shape }) => shape.length > 0)) states.push({ path, tensors });
  });
  return states;
}

/** Visits a value and the items of its maps and lists, each once, since a map may contain itself. */
function walk(value: PickleValue, path: string, visit: (path: string, item: PickleValue) => void): void {
  const seen = new Set<PickleValue>();
  const waiting: [string, PickleValue][] = [[path, value]];
  for (let next = waiting.pop(); next; next = waiting.pop()) {
    const [at, item] = next;
    visit(at, item);
    if (!(item instanceof Map || Array.isArray(item)) || seen.has(item)) continue;
    seen.add(item);
    const inner = entriesOf(item).map(([key, part]): [string, PickleValue] => [
      at ? `${at}.${key}` : key,
      part,
    ]);
    waiting.push(...inner.reverse());
  }
}

function listed(states: readonly State[]): string {
  const names = states
    .slice(0, MAX_LISTED)
    .map(({ path, tensors }) => `${path || '.'} (${tensors.size} tensors)`);
  return names.join(', ') + (states.length > MAX_LISTED ? `, and ${states.length - MAX_LISTED} more` : '');
}
