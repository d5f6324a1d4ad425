import { weightCounter } from '../architectures/packed.js';
import { type Architecture, describeArchitecture, tensorRole } from '../architectures/registry.js';
import { ROLES, type Role } from '../architectures/roles.js';
import { type Dtype, elementCount } from '../core/dtype.js';
import type { Model, TensorInfo } from '../core/model.js';
import { Meter, type RunOptions } from '../core/progress.js';
import { sumOf } from '../core/sum.js';
import { findLicense, type License } from '../models/license.js';
import { scanTensor, type TensorScan } from './scan.js';

/** How {@link analyze} runs. */
export interface AnalyzeOptions extends RunOptions {
  /** Reads only headers, no weights. Tied parameters are then known only from the config. */
  readonly headersOnly?: boolean | undefined;
}

/** One tensor of a model. Fields of the scan are undefined if no weights were read. */
export interface TensorAnalysis extends TensorInfo, Partial<TensorScan> {
  /** Its role in the model. */
  readonly role: Role;
  /** Number of elements. */
  readonly elements: number;
  /** Number of weights; packed integers hold several, scales and buffers none. */
  readonly parameters: number;
  /** Another tensor of the same type, shape and bytes; a lossless file then stores only one. */
  readonly sameAs: string | undefined;
  /** Whether it is a duplicate of another parameter (a tied head) and is not counted. */
  readonly tied: boolean;
}

/** All tensors of one role. */
export interface RoleAnalysis {
  /** Their role in the model. */
  readonly role: Role;
  /** How many. */
  readonly tensors: number;
  /** Unique parameters; 0 for buffers. */
  readonly parameters: number;
  /** Bytes of their elements. */
  readonly lengthBytes: number;
  /** The share of the bytes of all tensors, 0 to 1. */
  readonly share: number;
  /** Entropy of sign, exponent and mantissa per element, computed per tensor; undefined without floats. */
  readonly entropyBits: number | undefined;
  /** Expected lossless bits per element; undefined if no weights were read. */
  readonly bitsPerElement: number | undefined;
  /** Bytes expected after lossless compression, duplicates counted once; undefined if no weights were read. */
  readonly losslessBytes: number | undefined;
}

/** All tensors of one element type. */
export interface DtypeAnalysis {
  /** The type. */
  readonly dtype: Dtype;
  /** How many. */
  readonly tensors: number;
  /** Bytes of their elements. */
  readonly lengthBytes: number;
}

/** What the model's files say about it and what its weights hold. */
export interface Analysis {
  /** The path, address or name that it was opened by. */
  readonly model: string;
  /** As {@link Model.kind}. */
  readonly kind: Model['kind'];
  /** For a checkpoint: the state in use; undefined at the top level. */
  readonly state: string | undefined;
  /** The error when config.json exists but cannot be read. */
  readonly configError: string | undefined;
  /** The architecture, from the config. */
  readonly architecture: Architecture;
  /** The license, and where it was found. */
  readonly license: License;
  /** Tensors and bytes of each element type, the most bytes first. */
  readonly dtypes: readonly DtypeAnalysis[];
  /** Numbers of parameters. */
  readonly parameters: {
    /** Number of parameters; tied ones count once, buffers do not count. */
    readonly unique: number;
    /** Number of parameters stored in the files, including duplicates of tied ones. */
    readonly stored: number;
    /** Elements of buffers. */
    readonly buffers: number;
    /** Active parameters per token of a mixture of experts; undefined for other models, or if the config does not state the active experts. */
    readonly active: number | undefined;
  };
  /** Roles that the model has, from the embedding on. */
  readonly roles: readonly RoleAnalysis[];
  /** All tensors, in the order of the model. */
  readonly tensors: readonly TensorAnalysis[];
  /** Bytes of all tensors. */
  readonly lengthBytes: number;
  /** Expected bytes of tensors after lossless compression; undefined if no weights were read. */
  readonly losslessBytes: number | undefined;
}

/**
 * Reads every tensor once, in blocks, and returns the model's structure, the entropy of its bits, and the expected size of a lossless
 * file. All figures are counted on these weights, except those from the config.
 * @throws {InputError} like the model's reads. @throws the signal's reason once it is aborted.
 */
export async function analyze(model: Model, options: AnalyzeOptions = {}): Promise<Analysis> {
  const tensors = await analyzeTensors(model, options);
  const parameters = tensors.filter(({ role }) => role !== 'buffer');
  const lengthBytes = sum(tensors, (tensor) => tensor.lengthBytes);
  const architecture = describeArchitecture(model.config);
  return {
    model: model.id,
    kind: model.kind,
    state: model.state,
    configError: model.configError?.message,
    architecture,
    license: await findLicense(model.sideFiles),
    dtypes: byDtype(tensors),
    parameters: {
      unique: countUnique(parameters),
      stored: sum(parameters, (tensor) => tensor.parameters),
      buffers: sum(tensors, ({ role, elements }) => (role === 'buffer' ? elements : 0)),
      active: countActive(parameters, architecture),
    },
    roles: byRole(tensors, lengthBytes),
    tensors,
    lengthBytes,
    losslessBytes: options.headersOnly ? undefined : sum(tensors, losslessBytes),
  };
}

async function analyzeTensors(model: Model, options: AnalyzeOptions): Promise<TensorAnalysis[]> {
  const { headersOnly, signal } = options;
  const scanned: Scanned[] = [];
  const weightsIn = weightCounter(model.tensors, model.config);
  const total = sum(model.tensors, ({ lengthBytes }) => lengthBytes);
  const meter = new Meter(options, 'reading', total);
  for (const { name, dtype, shape, lengthBytes, storedBytes, holds } of model.tensors) {
    const tensor = {
      name,
      dtype,
      shape,
      lengthBytes,
      ...(storedBytes !== undefined && { storedBytes }),
      ...(holds && { holds }),
    };
    const scan = headersOnly
      ? undefined
      : await scanTensor(model, tensor, (bytes) => meter.add(bytes), signal);
    const role = tensorRole(tensor, model.config);
    scanned.push({
      ...tensor,
      ...scan,
      role,
      elements: elementCount(shape),
      parameters: role === 'buffer' ? 0 : holds ? elementCount(holds.shape) : weightsIn(tensor),
    });
  }
  return headersOnly
    ? scanned.map((tensor) => ({ ...tensor, sameAs: undefined, tied: false }))
    : findCopies(scanned);
}

type Scanned = Omit<TensorAnalysis, 'sameAs' | 'tied'>;

/** Finds duplicates. Of tensors with equal content, the original is the token embedding if it is among them, else the first. */
function findCopies(scanned: readonly Scanned[]): TensorAnalysis[] {
  const content = ({ dtype, shape, digest }: Scanned) => `${dtype} ${shape} ${digest}`;
  const originals = new Map<string, Scanned>();
  for (const tensor of scanned) {
    const original = originals.get(content(tensor));
    if (!original || (tensor.role === 'token embedding' && original.role !== 'token embedding'))
      originals.set(content(tensor), tensor);
  }
  return scanned.map((tensor) => {
    const original = originals.get(content(tensor));
    const sameAs = original === tensor ? undefined : original?.name;
    // equal vectors and constants are coincidences: norms of ones and biases of zeros are separate parameters
    const couldBeTied = tensor.role !== 'buffer' && tensor.shape.length >= 2 && !tensor.constant;
    return { ...tensor, sameAs, tied: sameAs !== undefined && couldBeTied };
  });
}

function byRole(tensors: readonly TensorAnalysis[], allBytes: number): RoleAnalysis[] {
  return ROLES.map((role) => ({ role, members: tensors.filter((tensor) => tensor.role === role) }))
    .filter(({ members }) => members.length > 0)
    .map(({ role, members }) => {
      const lengthBytes = sum(members, (tensor) => tensor.lengthBytes);
      const elements = sum(members, (tensor) => tensor.elements);
      const isScanned = members[0]?.digest !== undefined;
      return {
        role,
        tensors: members.length,
        parameters: role === 'buffer' ? 0 : countUnique(members),
        lengthBytes,
        share: allBytes && lengthBytes / allBytes,
        entropyBits: meanEntropy(members),
        bitsPerElement: isScanned
          ? elements && sum(members, (tensor) => tensor.bitsPerElement! * tensor.elements) / elements
          : undefined,
        losslessBytes: isScanned ? sum(members, losslessBytes) : undefined,
      };
    });
}

function meanEntropy(tensors: readonly TensorAnalysis[]): number | undefined {
  const floats = tensors.filter(({ signBits }) => signBits !== undefined);
  const elements = sum(floats, (tensor) => tensor.elements);
  const bits = ({ signBits = 0, exponentBits = 0, mantissaBits = 0 }: TensorAnalysis) =>
    signBits + exponentBits + mantissaBits;
  return elements ? sum(floats, (tensor) => bits(tensor) * tensor.elements) / elements : undefined;
}

function byDtype(tensors: readonly TensorAnalysis[]): Analysis['dtypes'] {
  return [...new Set(tensors.map(({ dtype }) => dtype))]
    .map((dtype) => {
      const members = tensors.filter((tensor) => tensor.dtype === dtype);
      return { dtype, tensors: members.length, lengthBytes: sum(members, (tensor) => tensor.lengthBytes) };
    })
    .sort((a, b) => b.lengthBytes - a.lengthBytes);
}

function countUnique(parameters: readonly TensorAnalysis[]): number {
  return sum(parameters, (tensor) => (tensor.tied ? 0 : tensor.parameters));
}

/** Names of routed experts, separate or stacked; shared experts do not count. */
const ROUTED = /(^|[._])(experts?|ffn_(gate|up|down|gate_up)_exps)([._]|$)/;
const SHARED = /(^|[._])shared_experts?([._]|$)/;

function countActive(
  parameters: readonly TensorAnalysis[],
  { experts, activeExperts }: Architecture,
): number | undefined {
  if (experts === undefined || activeExperts === undefined || activeExperts > experts) return undefined;
  const routed = parameters.filter(({ name }) => ROUTED.test(name) && !SHARED.test(name));
  if (!routed.length) return undefined;
  const inExperts = countUnique(routed);
  return countUnique(parameters) - inExperts + Math.round((inExperts / experts) * activeExperts);
}

function losslessBytes({ sameAs, expectedBytes = 0 }: TensorAnalysis): number {
  return sameAs === undefined ? expectedBytes : 0;
}

function sum<Item>(items: readonly Item[], value: (item: Item) => number): number {
  return sumOf(items, (item) => value(item));
}
