import { planForward } from '../../architectures/forward.js';
import { elementCount } from '../../core/dtype.js';
import { InputError } from '../../core/errors.js';
import type { Config } from '../../core/json.js';
import type { VirtualTensor } from '../virtual.js';
import { LastSlice } from './axes.js';
import type { GgufFamily } from './family.js';
import { type Bundle, bundlesOf, toHub } from './tensor-map.js';

/**
 * Returns the tensors with the names and order of elements of the Hub. Those that the model does not compute with keep their names; all
 * do if the config has a value with which the model cannot be run, which running it then says.
 */
export function asOnHub(
  tensors: readonly VirtualTensor[],
  family: GgufFamily,
  config: Config,
): VirtualTensor[] {
  const bundles = bundlesIn(family, config);
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  const last = new LastSlice();
  const used = new Map<string, VirtualTensor[]>();
  for (const bundle of bundles) {
    const named = bundle.gguf.filter((one) => one !== undefined);
    const given = named.map(({ name }) => byName.get(name));
    const fits = given.every((tensor, i) => tensor && sameElements(tensor.shape, named[i]!.shape));
    const [first] = named;
    if (!fits || !first) continue;
    const stored = given.reduce((total, tensor) => total + (tensor!.storedBytes ?? 0), 0);
    const each = given.every((tensor) => tensor!.storedBytes !== undefined) && {
      storedBytes: Math.floor(stored / bundle.hub.length),
    };
    for (const { name } of named) used.set(name, []);
    used.set(
      first.name,
      toHub(bundle, given as VirtualTensor[], last).map((view) => ({ ...view, ...each })),
    );
  }
  return tensors.flatMap((tensor) => used.get(tensor.name) ?? [tensor]);
}

function bundlesIn(family: GgufFamily, config: Config): Bundle[] {
  try {
    return bundlesOf(family, planForward(family.family, config, { anyFields: true }));
  } catch (error) {
    if (error instanceof InputError) return [];
    throw error;
  }
}

function sameElements(a: readonly number[], b: readonly number[]): boolean {
  return `${a}` === `${b}` || (elementCount(a) === elementCount(b) && a.at(-1) === b.at(-1));
}
