import { InputError } from '../core/errors.js';
import { quote } from '../core/json.js';
import type { Graph, Value } from './graph.js';
import { MICROSOFT } from './proto.js';

type Activation = (g: Graph, x: Value) => Value;

const exactGelu: Activation = (g, x) => g.operation('Gelu', [x]);
/** ONNX Runtime's FastGelu, 4 times as fast as Gelu with approximate="tanh". */
const tanhGelu: Activation = (g, x) => g.operation('FastGelu', [x], {}, MICROSOFT);
const silu: Activation = (g, x) => g.multiply(x, g.operation('Sigmoid', [x]));

/** Activations by their names in config.json. */
const ACTIVATIONS: Readonly<Record<string, Activation>> = {
  gelu: exactGelu,
  gelu_new: tanhGelu,
  gelu_fast: tanhGelu,
  gelu_pytorch_tanh: tanhGelu,
  silu,
  swish: silu,
  relu: (g, x) => g.operation('Relu', [x]),
  tanh: (g, x) => g.operation('Tanh', [x]),
};

/**
 * Returns an activation by its name in config.json.
 * @throws {InputError} for an unknown name.
 */
export function findActivation(name: unknown): Activation {
  const found = typeof name === 'string' && Object.hasOwn(ACTIVATIONS, name) && ACTIVATIONS[name];
  if (found) return found;
  const known = Object.keys(ACTIVATIONS).join(', ');
  throw new InputError(`config.json: expected the activation to be one of ${known}, found ${quote(name)}`);
}
