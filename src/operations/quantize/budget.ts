import { elementCount } from '../../core/dtype.js';
import { InputError } from '../../core/errors.js';
import { originalBytes } from '../../core/model.js';
import { sumOf } from '../../core/sum.js';
import { aligned } from '../../models/gguf/header-writer.js';
import { fittingType, MIXTURES, mixtureTypes } from '../../models/gguf/mixtures.js';
import { type GgufType, typeNamed } from '../../models/gguf/types.js';
import { type Budget, checkBudget, type Goal, goalOf } from '../../quantization/rate-control/budget.js';
import { storedBytes } from '../export/gguf-tensors.js';
import { typeFor } from '../export/gguf-types.js';
import { candidatesFor, measureCosts, type TensorTypes } from './costs.js';
import { type Choice, Ladder, lossOfChoice } from './ladder.js';
import type { Attempt, Session } from './session.js';
import { type ChosenTypes, nameOfTypes, type TypeRule } from './types.js';

/** Attempts to meet a divergence. The second is nearly always close enough. */
const MAX_ATTEMPTS = 6;

/** Measured divergence per expected one, before anything is measured: errors of several tensors cancel a part of each other. */
const TYPICAL_RATIO = 0.65;

/**
 * Makes the best file within a budget: each tensor has the type whose loss, measured for every type, is least per byte.
 * @throws {InputError} for a budget that cannot be met, naming what can.
 */
export async function withinBudget(
  session: Session,
  budget: Budget,
  rules: readonly TypeRule[],
): Promise<Attempt> {
  checkBudget(budget);
  const choices = choicesOf(session, rules);
  const meter = session.meter('measuring types', 'tensors');
  const ladder = new Ladder(await measureCosts(session, choices, (done) => meter(done, choices.length)));
  const name = nameOfTypes(budget, rules);
  const chosen = (choice: Choice) => chosenTypes(session, choice);
  const { smallest } = ladder;
  const smallestBytes = session.sizeOf(chosen(smallest), name);
  const others = smallestBytes - bytesOf(smallest);
  const goal = goalOf(budget, sizesOf(session, smallestBytes, chosen(smallest)));
  if (goal.kind !== 'bytes') return belowLoss(session, ladder, goal, name);
  if (smallestBytes > goal.max)
    throw new InputError(
      `the budget allows ${goal.limit} bytes, and the smallest file of these types has ${smallestBytes}`,
      { file: session.model.id },
    );
  const largest = ladder.within((choice) => others + bytesOf(choice) <= goal.max);
  return session.make(chosen(largest), name);
}

const bytesOf = (choice: Choice) => sumOf([...choice.values()], ({ bytes }) => aligned(bytes));

/** Makes files until one is just below a loss: each measurement says how much of the expected loss there is. */
async function belowLoss(session: Session, ladder: Ladder, goal: Goal, name: string): Promise<Attempt> {
  let expected = goal.max / TYPICAL_RATIO;
  let best: Attempt | undefined;
  let last: Attempt | undefined;
  const tried = new Set<string>();
  for (let i = 0; i < MAX_ATTEMPTS; i++) {
    const choice = ladder.below(expected);
    const key = [...choice.values()].map(({ type }) => type.name).join();
    if (tried.has(key)) break;
    tried.add(key);
    const attempt: Attempt = await session.make(chosenTypes(session, choice), name, last);
    if (last && last !== best) await last.file.discard();
    last = attempt;
    const loss = attempt.loss!;
    if (loss <= goal.max && (!best || attempt.file.lengthBytes < best.file.lengthBytes)) {
      if (best) await best.file.discard();
      best = attempt;
    }
    if (loss <= goal.max && loss >= goal.min) break;
    // a little below the limit, because the next choice is not quite as good as expected
    expected = ((goal.max + goal.min) / 2) * (lossOfChoice(choice) / loss);
  }
  if (last && last !== best) await last.file.discard();
  if (best) return best;
  const least = last!.loss!;
  throw new InputError(
    `the divergence cannot be brought to ${goal.limit}: with the best types of llama.cpp it is ${least.toPrecision(3)}`,
    { file: session.model.id },
  );
}

/** Returns the tensors that have a choice of types. */
function choicesOf({ described: { views, facts } }: Session, rules: readonly TypeRule[]): TensorTypes[] {
  const tensors = views.map(({ role, shape }) => ({ name: role, shape }));
  const { types } = mixtureTypes('Q4_K_M', facts, tensors); // any mixture quantizes the same tensors
  return views
    .filter(({ role }) => types.has(role))
    .map((view) => {
      const rule = rules.findLast(({ pattern }) => pattern.test(view.role));
      return { view, types: rule ? [typeNamed(fittingType(rule.type, view.shape))] : candidatesFor(view) };
    })
    .filter(({ types: [first] }) => first && first.name !== 'F16');
}

/** Returns the types of all tensors: chosen ones, and those that all files have. */
function chosenTypes({ described }: Session, choice: Choice): ChosenTypes {
  const types = new Map<string, GgufType>();
  const weights = new Map<string, number>();
  for (const { name, role, shape } of described.views) {
    const type = choice.get(name)?.type ?? typeNamed(typeFor('F16', role, shape));
    types.set(name, type);
    weights.set(type.name, (weights.get(type.name) ?? 0) + elementCount(shape));
  }
  const [most] = [...weights].sort(([, a], [, b]) => b - a)[0]!;
  return { types, fallbacks: [], fileType: FILE_TYPES[most] ?? 1 };
}

/** The file's type is that of a mixture whose own type most weights have. */
const FILE_TYPES: Readonly<Record<string, number>> = Object.fromEntries(
  Object.values(MIXTURES).map(({ type, fileType }) => [type, fileType]),
);

function sizesOf({ model, described }: Session, fileBytes: number, { types }: ChosenTypes) {
  const weights = sumOf(described.views, ({ shape }) => elementCount(shape));
  return {
    originalBytes: originalBytes(model),
    sideBytes: fileBytes - sumOf(described.views, ({ name, shape }) => storedBytes(types.get(name)!, shape)),
    parameters: weights,
    reportBytes: 0,
  };
}
