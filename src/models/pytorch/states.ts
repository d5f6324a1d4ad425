import { InputError } from '../../core/errors.js';
import type { PickleValue } from '../pickle/values.js';
import { TorchTensor } from './tensors.js';

/** A map of a checkpoint that holds tensors. */
export interface State {
  /** Its keys joined by dots; empty for the outermost map. */
  readonly path: string;
  readonly tensors: ReadonlyMap<string, TorchTensor>;
}

/** What an optimizer keeps of the weights has their shapes, and is not them. */
const OPTIMIZER = /optim/i;
const MAX_LISTED = 8;

/**
 * Returns the state of a checkpoint that is a model: the one asked for, or the only one that can be: a map with at least one matrix, not
 * in an optimizer.
 * @param asked keys joined by dots, `.` for all tensors of the checkpoint under their full names. @param file for messages.
 * @throws {InputError} when there is none, or when several can be, naming them.
 */
export function chooseState(value: PickleValue, asked: string | undefined, file: string): State {
  if (asked !== undefined) return stateAt(value, asked === '.' ? '' : asked, file);
  const states = statesIn(value);
  const likely = states.filter(({ tensors }) => [...tensors.values()].some(({ shape }) => shape.length > 1));
  const [only, ...others] = likely.length ? likely : states;
  if (!only) throw new InputError('no tensors of a model are in the checkpoint', { file });
  if (others.length)
    throw new InputError(
      `holds several states: ${listed([only, ...others])}`,
      { file },
      { code: 'several-states' },
    );
  return only;
}

/** Returns all tensors of a checkpoint by their keys joined by dots, whatever they are for; the same tensor by its first name. */
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
  const held = states.length ? `; it holds ${listed(states)}` : '';
  throw new InputError(`has no state ${JSON.stringify(path)}${held}`, { file });
}

/** What lies at keys joined by dots; a key may have dots itself. */
function itemAt(value: PickleValue, path: string): PickleValue | undefined {
  for (const [key, item] of entriesOf(value)) {
    if (path === key) return item;
    const found = path.startsWith(`${key}.`) ? itemAt(item, path.slice(key.length + 1)) : undefined;
    if (found !== undefined) return found;
  }
  return undefined;
}

/** The items of a map or list by their keys as text. */
function entriesOf(value: PickleValue): [key: string, item: PickleValue][] {
  if (!(value instanceof Map || Array.isArray(value))) return [];
  return [...value.entries()].flatMap(([key, item]): [string, PickleValue][] =>
    typeof key === 'string' || typeof key === 'number' ? [[`${key}`, item]] : [],
  );
}

/** Maps with tensors of at least one dimension directly in them, outermost first. */
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

/** Visits a value and what is in its maps and lists, each once: a map may hold itself. */
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
