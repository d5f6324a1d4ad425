// Shows the audit of a file, with the arithmetic of each verdict.
import type { Statement } from '../dist/audit/verdict.js';
import { InputError } from '../dist/core/errors.js';
import type { Answer } from './audit-worker.js';
import { element, find } from './page.js';

/** Audits a file in a worker. @throws {InputError} when it cannot be read. */
async function audit(file: Blob, signal: AbortSignal) {
  const worker = new Worker(new URL('./audit-worker.ts', import.meta.url), { type: 'module' });
  try {
    const answer = await new Promise<Answer>((resolve, reject) => {
      worker.onmessage = ({ data }) => resolve(data);
      worker.onerror = ({ message }) => reject(new Error(message));
      signal.addEventListener('abort', () => reject(signal.reason), { once: true });
      worker.postMessage(file);
    });
    if ('audit' in answer) return answer.audit;
    throw answer.input ? new InputError(answer.message) : new Error(answer.message);
  } finally {
    worker.terminate();
  }
}

/** Audits a file and shows the statements. */
export async function showAudit(file: Blob, signal: AbortSignal): Promise<void> {
  find('audit').hidden = false;
  find('statements').replaceChildren();
  find('verdict').textContent = 'auditing';
  try {
    const { subject, statements } = await audit(file, signal);
    const wrong = statements.filter(({ verdict }) => verdict === 'contradicted').length;
    find('verdict').textContent =
      `${subject}: ${wrong ? `${wrong} of ${statements.length} statements contradicted` : `nothing contradicted in ${statements.length} statements`}`;
    find('statements').replaceChildren(...statements.map(item));
  } catch (error) {
    find('audit').hidden = true;
    throw error;
  }
}

function item({ claim, verdict, because }: Statement): HTMLElement {
  const title = element('p', [element('strong', verdict), document.createTextNode(`: ${claim}`)]);
  return element('li', [title, element('p', because)], verdict.replaceAll(' ', '-'));
}
