import type { ForwardPlan } from '../../architectures/forward.js';
import { isAttention } from '../../architectures/settings.js';
import type { Model } from '../../core/model.js';
import { openProgram } from '../../inference/program.js';
import type { GgufFamily } from '../../models/gguf/family.js';
import type { GgufEntry } from '../../models/gguf/header-writer.js';
import { type MixtureModel, mixtureModel } from '../../models/gguf/mixtures.js';
import { fileEntries } from '../../models/gguf/own-files.js';
import { type Bundle, bundlesOf, finderOf } from '../../models/gguf/tensor-map.js';
import { describeGguf, generalEntries, requireConfig } from '../export/gguf-plan.js';
import { type GgufView, type PlannedTensor, viewOf } from '../export/gguf-tensors.js';

/** What tensors are called in a GGUF file: as llama.cpp expects, or as in the checkpoint, which it cannot load. */
export type TensorNames = 'llama.cpp' | 'checkpoint';

/** A GGUF file to make, whatever the types of its tensors. */
export interface Described {
  /** The metadata, but for `general.file_type`. */
  readonly entries: readonly GgufEntry[];
  readonly added: readonly PlannedTensor[];
  readonly views: readonly GgufView[];
  /** What llama.cpp's mixtures depend on. */
  readonly facts: MixtureModel;
  /** How tensors are mapped; undefined where they have the checkpoint's names. */
  readonly mapping: Mapping | undefined;
}

/** What says how a model's tensors and those of GGUF are paired. */
export interface Mapping {
  readonly gguf: GgufFamily;
  readonly plan: ForwardPlan;
}

/** Describes a model's GGUF file. @throws {InputError} for a model that cannot be written so. */
export async function describe(model: Model, names: TensorNames): Promise<Described> {
  if (names === 'checkpoint') return describeCheckpoint(model);
  const { entries, added, views, gguf, plan } = await describeGguf(model);
  const facts = mixtureModel(new Map(entries.map(({ key, value }) => [key, value])));
  return { entries, added, views, facts, mapping: { gguf, plan } };
}

/** Returns the first name of several in llama.cpp; undefined where it has none, which may be an ending alone. */
const roleIn = ([named]: Bundle['gguf']) => (named?.name.startsWith('.') ? undefined : named?.name);

/** Describes a file with the checkpoint's own tensors, and the files that say how to run them. */
async function describeCheckpoint(model: Model): Promise<Described> {
  const config = requireConfig(model);
  const { plan } = await openProgram(model);
  const architecture = String(config.model_type);
  const pseudo = { architecture, family: plan.family } as GgufFamily;
  const find = finderOf(model, plan);
  const roles = new Map(
    bundlesOf(pseudo, plan).flatMap(({ hub, gguf }) =>
      hub.map(({ name }) => [find(name).name, roleIn(gguf) ?? name] as const),
    ),
  );
  const views = model.tensors
    .filter(({ name }) => roles.has(name))
    .map(
      (tensor): GgufView => ({
        ...viewOf(model, tensor),
        role: roles.get(tensor.name)!,
        sources: [tensor],
        places: undefined,
      }),
    );
  const attention = plan.layers.map(({ mixer }) => mixer).find(isAttention);
  const experts = plan.layers.map(({ mlp }) => mlp).find((mlp) => mlp.kind === 'experts');
  return {
    entries: [...(await generalEntries(model, architecture)), ...(await fileEntries(model))],
    added: [],
    views,
    mapping: undefined,
    facts: {
      architecture,
      layers: plan.layers.length,
      experts: experts?.kind === 'experts' ? experts.count : 0,
      heads: attention?.heads ?? 0,
      keyValueHeads: attention?.keyValueHeads ?? 0,
    },
  };
}
