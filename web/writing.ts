// Generates text with one model, or with two side by side, marking tokens that differ.

import type { LoadedModel } from '../dist/browser/run.js';
import { element, find, input } from './page.js';

/** A model and the name shown above its text. */
export interface Writer {
  readonly name: string;
  readonly model: LoadedModel;
}

/** Continues the form's prompt with each model in turn; asks those that have a chat template, unless the form says otherwise. */
export async function write(writers: readonly Writer[], signal: AbortSignal): Promise<void> {
  const prompt = input('text').value;
  const columns = writers.map(
    ({ name, model }) => new Column(name, isAsked(model) ? `${prompt}\n\n` : prompt),
  );
  find('texts').replaceChildren(...columns.map(({ root }) => root));
  find('difference').textContent = '';
  for (const [i, { model }] of writers.entries()) await columns[i]!.fill(model, prompt, signal, columns[0]!);
  if (columns.length > 1) find('difference').textContent = comparison(columns[0]!.tokens, columns[1]!.tokens);
}

const isAsked = ({ hasChat }: LoadedModel): boolean => hasChat && input('chat').checked;

/** The text of one model, shown token by token. */
class Column {
  readonly tokens: number[] = [];
  readonly root: HTMLElement;
  private readonly text: HTMLElement;
  private readonly speed = element('p', '', 'speed');

  constructor(name: string, prompt: string) {
    this.text = element('div', [element('span', prompt, 'given')], 'text');
    this.text.tabIndex = 0;
    this.text.setAttribute('role', 'region');
    this.text.setAttribute('aria-label', `what ${name} writes`);
    this.root = element('div', [element('h3', name), this.text, this.speed]);
  }

  /** Generates text. @param beside the column that tokens are compared with. */
  async fill(model: LoadedModel, prompt: string, signal: AbortSignal, beside: Column): Promise<void> {
    const started = performance.now();
    const temperature = input('temperature').valueAsNumber;
    const { tokens, tokenSeconds, promptSeconds } = await model.generate(prompt, {
      maxTokens: input('most').valueAsNumber,
      temperature,
      ...(temperature > 0 && { topK: input('top-k').valueAsNumber }),
      seed: input('seed').valueAsNumber,
      chat: isAsked(model),
      signal,
      onToken: (token, text) => {
        const differs = beside !== this && beside.tokens[this.tokens.length] !== token;
        this.tokens.push(token);
        this.text.append(element(differs ? 'mark' : 'span', text));
        this.text.scrollTop = this.text.scrollHeight;
        const seconds = (performance.now() - started) / 1000;
        this.speed.textContent = `${this.tokens.length} tokens in ${seconds.toFixed(1)} s`;
      },
    });
    const rate = tokens.length > 1 ? (tokens.length - 1) / tokenSeconds : 0;
    this.speed.textContent = `${tokens.length} tokens, ${rate.toFixed(1)} tokens per second after ${promptSeconds.toPrecision(2)} s for the prompt (${model.device})`;
  }
}

function comparison(first: readonly number[], second: readonly number[]): string {
  const length = Math.max(first.length, second.length);
  const differing = Array.from({ length }, (_, i) => i).filter((i) => first[i] !== second[i]);
  if (!differing.length) return `All ${length} tokens are identical.`;
  return `The first ${differing[0]} tokens are identical; ${differing.length} of ${length} positions differ.`;
}
