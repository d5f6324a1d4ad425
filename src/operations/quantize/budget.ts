import { elementCount } from '../../core/dtype.js';
import { InputError } from '../../core/errors.js';
import { originalBytes } from '../../core/model.js';
import { sumOf } from '../../core/sum.js';
import { GGML_GRIDS } from '../../grids/ggml.js';
import { aligned } from '../../models/gguf/header-writer.js';
import { type Fallback, MIXTURES, mixtureTypes } from '../../models/gguf/mixtures.js';
import { type GgufType, typeNamed } from '../../models/gguf/types.js';
import { type Budget, type Goal, goalOf } from '../../quantization/rate-control/budget.js';
import { storedBytes } from '../export/gguf-tensors.js';
import { typeFor } from '../export/gguf-types.js';
import { candidatesFor, measureCosts, type TensorTypes } from './costs.js';
import { type Choice, Ladder, lossOfChoice } from './ladder.js';
import type { Attempt, Session } from './session.js';
import { type ChosenTypes, nameOfTypes, ruledType, type TypeRule } from './types.js';

/** Attempts to meet a divergence. The second is nearly always close enough. */
const MAX_ATTEMPTS = 6;

/** Measured divergence per expected one, before anything is measured: errors of several tensors cancel a part of each other. */
const TYPICAL_RATIO = 0.65;

/**
 * Makes the best file within a budget: each tensor has the type whose loss, measured for every type, is least per byte.
 * @param budget that was checked. @throws {InputError} for one that cannot be met, naming what can.
 */
export async function withinBudget(
  session: Session,
  budget: Budget,
  rules: readonly TypeRule[],
): Promise<Attempt> {
  const { tensors, fallbacks } = choicesOf(session, rules);
  const meter = session.meter('measuring types', 'tensors');
  const ladder = new Ladder(await measureCosts(session, tensors, (done) => meter(done, tensors.length)));
  const name = nameOfTypes(budget, rules);
  const chosen = (choice: Choice) => chosenTypes(session, choice, fallbacks);
  const { smallest } = ladder;
  const smallestBytes = session.sizeOf(chosen(smallest), name);
  const others = smallestBytes - bytesOf(smallest);
  const goal = goalOf(budget, sizesOf(session, smallestBytes, chosen(smallest)));
  const make = (choice: Choice, previous?: Attempt) => session.make(chosen(choice), name, previous);
  if (goal.kind !== 'bytes') return belowLoss(goal, session, ladder, make);
  if (smallestBytes > goal.max)
    throw new InputError(
      `the budget allows ${goal.limit} bytes, and the smallest file of these types has ${smallestBytes}`,
      { file: session.model.id },
    );
  return make(ladder.within((choice) => others + bytesOf(choice) <= goal.max));
}

const bytesOf = (choice: Choice) => sumOf([...choice.values()], ({ bytes }) => aligned(bytes));

/** Makes files until one is just below a loss: each measurement says how much of the expected loss there is. */
async function belowLoss(
  goal: Goal,
  { model }: Session,
  ladder: Ladder,
  make: (choice: Choice, previous: Attempt | undefined) => Promise<Attempt>,
): Promise<Attempt> {
  let expected = goal.max / TYPICAL_RATIO;
  let best: Attempt | undefined;
  let last: Attempt | undefined;
  const made = new Set<Attempt>();
  const discardBut = async (...kept: readonly (Attempt | undefined)[]) => {
    for (const attempt of made) {
      if (kept.includes(attempt)) continue;
      made.delete(attempt);
      await attempt.file.discard();
    }
  };
  const tried = new Set<string>();
  try {
    for (let i = 1; i <= MAX_ATTEMPTS; i++) {
      const choice = best || i < MAX_ATTEMPTS ? ladder.below(expected) : ladder.best;
      const key = [...choice.values()].map(({ type }) => type.name).join();
      if (tried.has(key)) break;
      tried.add(key);
      const attempt: Attempt = await make(choice, last);
      made.add(attempt);
      last = attempt;
      const loss = attempt.loss!;
      const isBelow = loss <= goal.max;
      if (isBelow && (!best || attempt.file.lengthBytes < best.file.lengthBytes)) best = attempt;
      await discardBut(best, last);
      if (isBelow && loss >= goal.min) break;
      // a little below the limit, because the next choice is not quite as good as expected
      expected = ((goal.max + goal.min) / 2) * (lossOfChoice(choice) / loss);
    }
  } catch (error) {
    await discardBut();
    throw error;
  }
  await discardBut(best);
  if (best) return best;
  throw new InputError(
    `the divergence cannot be brought to ${goal.limit}: with the best types of llama.cpp it is ${last!.loss!.toPrecision(3)}`,
    { file: model.id },
  );
}

/** Returns the tensors that have a choice of types, and those that could not have the type of a rule. */
function choicesOf({ described: { views, facts } }: Session, rules: readonly TypeRule[]) {
  const named = views.map(({ role, shape }) => ({ name: role, shape }));
  const quantized = mixtureTypes('Q4_K_M', facts, named).types; // any mixture quantizes the same tensors
  const tensors: TensorTypes[] = [];
  const fallbacks: Fallback[] = [];
  for (const view of views) {
    if (!quantized.has(view.role)) continue;
    const ruled = ruledType(rules, view);
    if (ruled?.fallback) fallbacks.push(ruled.fallback);
    const types = ruled ? [typeNamed(ruled.type)].filter(isOfGrids) : candidatesFor(view);
    if (types.length) tensors.push({ view, types });
  }
  return { tensors, fallbacks };
}

/** Other types have no loss that counts. */
const isOfGrids = ({ name }: GgufType) => name in GGML_GRIDS;

/** Returns the types of all tensors: chosen ones, and those that all files have. */
function chosenTypes({ described }: Session, choice: Choice, fallbacks: readonly Fallback[]): ChosenTypes {
  const types = new Map<string, GgufType>();
  const weights = new Map<string, number>();
  for (const { name, role, shape } of described.views) {
    const type = choice.get(name)?.type ?? typeNamed(typeFor('F16', role, shape));
    types.set(name, type);
    weights.set(type.name, (weights.get(type.name) ?? 0) + elementCount(shape));
  }
  const [most] = [...weights].sort(([, a], [, b]) => b - a)[0]!;
  return { types, fallbacks, fileType: FILE_TYPES[most] ?? 1 };
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
