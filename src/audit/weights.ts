import type { Model } from '../formats/model.js';
import { compareSamples } from './sampling.js';
import { judge, type Statement, show } from './verdict.js';

/** How near the weights of one model are to those of another, on samples of every tensor that both have. */
export async function weightStatements(model: Model, against: Model): Promise<Statement[]> {
  const { shared, missing, exact, error, power, worst, sampled } = await compareSamples(model, against);
  const claim = `the file holds weights of ${against.id}`;
  if (!shared) return [judge(false, claim, 'no tensor has the name and shape of one of its tensors')];
  const relative = power > 0 ? error / power : 0;
  const because =
    exact === shared
      ? `all ${shared} tensors are the same where they were compared`
      : `${exact} of ${shared} tensors are the same; relative squared error ${show(relative)}${sampled ? ' by samples' : ''}, largest ${show(worst.error)} (${worst.tensor})`;
  return [judge(relative < 1, claim, `${because}${missing ? `; ${missing} tensors of it are missing` : ''}`)];
}
