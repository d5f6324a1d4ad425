import type { Model } from '../core/model.js';
import { type Comparison, compareSamples } from './sampling.js';
import { contradicted, type Statement, show, supported, unknown } from './verdict.js';

/** Compares the weights of two models on samples of every shared tensor. */
export async function weightStatements(model: Model, against: Model): Promise<Statement[]> {
  const claim = `the file holds weights of ${against.id}`;
  const comparison = await compareSamples(model, against);
  const { shared, decided, related, missing } = comparison;
  if (!shared) return [unknown(claim, 'no tensor matches one of its tensors by name and shape')];
  const because = `${measured(comparison)}${missing ? `; ${missing} of its tensors are missing` : ''}`;
  if (related > decided / 2) return [supported(claim, because)];
  const few = `${show(related)} of ${show(decided)} weights are in tensors related to its own`;
  return [(related ? unknown : contradicted)(claim, `${few}; ${because}`)];
}

function measured({ shared, exact, error, power, worst, sampled }: Comparison): string {
  if (exact === shared) return `all ${shared} compared tensors are identical`;
  const relative = show(power > 0 ? error / power : 0);
  return `${exact} of ${shared} tensors are identical; relative squared error ${relative}${sampled ? ' (sampled)' : ''}, largest ${show(worst.error)} (${worst.tensor})`;
}
