import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

// Data that comes with the project: fixtures/README.md says where it is from.

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
export const fixture = (path: string) => join(ROOT, 'fixtures', path);

/** A folder of tiny models, one per architecture, with the logits of the reference implementation. */
export const FIXTURES = fixture('architectures');
/** The same for every model type that can be run, and some that cannot. */
export const FAMILIES = fixture('families');
/** Encoder-decoders have logits of the reference, but no forward pass here. */
const NO_FORWARD_PASS = ['t5', 't5_gated', 'bart'];
/** Those of them that predict tokens. */
export const RUNNABLE = readdirSync(FAMILIES).filter(
  (name) => existsSync(join(FAMILIES, name, 'logits.f32')) && !NO_FORWARD_PASS.includes(name),
);
/** Trained models: 5.8 million parameters in F32, 1.3 million in BF16. */
export const SMALL = fixture('models/gpt-neo-small');
export const TINY = join(ROOT, 'examples/gpt-neo-tiny');
/** Texts that no model was trained on and no calibration reads. */
export const EVALUATION_TEXT = fixture('text/evaluation.txt');
export const SPEECHES_TEXT = fixture('text/speeches.txt');
/** Tiny tokenizers and the ids that the reference gives. */
export const TOKENIZERS = fixture('tokenizers');
