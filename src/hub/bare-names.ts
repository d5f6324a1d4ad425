/** Models that are still known by old names without an owner, by their present owner. */
const OWNERS: Readonly<Record<string, readonly string[]>> = {
  'openai-community': ['gpt2', 'gpt2-medium', 'gpt2-large', 'gpt2-xl', 'openai-gpt'],
  distilbert: [
    'distilgpt2',
    'distilbert-base-uncased',
    'distilbert-base-cased',
    'distilbert-base-multilingual-cased',
    'distilroberta-base',
  ],
  'google-bert': [
    'bert-base-uncased',
    'bert-base-cased',
    'bert-large-uncased',
    'bert-large-cased',
    'bert-base-multilingual-uncased',
    'bert-base-multilingual-cased',
    'bert-base-chinese',
  ],
  'google-t5': ['t5-small', 't5-base', 't5-large', 't5-3b', 't5-11b'],
  FacebookAI: [
    'roberta-base',
    'roberta-large',
    'xlm-roberta-base',
    'xlm-roberta-large',
    'roberta-large-mnli',
  ],
};

/** Returns the present name of such a model on the Hub; undefined for other names. */
export function nameOnHub(name: string): string | undefined {
  const owner = Object.keys(OWNERS).find((key) => OWNERS[key]!.includes(name));
  return owner && `${owner}/${name}`;
}
