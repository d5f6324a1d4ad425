import type { Model } from '../core/model.js';
import { type Comparison, compareSamples } from './sampling.js';
import { contradicted, type Statement, show, supported, unknown } from './verdict.js';

/** How near the weights of one model are to those of another, on samples of every tensor that both have. */
export async function weightStatements(model: Model, against: Model): Promise<Statement[]> {
  const claim = `the file holds weights of ${against.id}`;
  const comparison = await compareSamples(model, against);
  const { shared, told, related, missing } = comparison;
  if (!shared) return [unknown(claim, 'no tensor has the name and shape of one of its tensors')];
  const because = `${measured(comparison)}${missing ? `; ${missing} tensors of it are missing` : ''}`;
  if (related > told / 2) return [supported(claim, because)];
  const few = `${show(related)} of ${show(told)} weights are in tensors that are related to its own`;
  return [(related ? unknown : contradicted)(claim, `${few}; ${because}`)];
}

function measured({ shared, exact, error, power, worst, sampled }: Comparison): string {
  if (exact === shared) return `all ${shared} tensors are the same where they were compared`;
  const relative = show(power > 0 ? error / power : 0);
  return `${exact} of ${shared} tensors are the same; relative squared error ${relative}${sampled ? ' by samples' : ''}, largest ${show(worst.error)} (${worst.tensor})`;
}
