// Shows the audit of a file, with the arithmetic of each verdict.
import type { Statement } from '../dist/audit/verdict.js';
import { loadWorker } from '../dist/workers/browser/web-worker.js';
import { Pool } from '../dist/workers/pool.js';
import type { AuditJobs } from './audit-worker.js';
import { element, find } from './page.js';

/** Audits a file in a worker. @throws {InputError} when it cannot be read. */
async function audit(file: Blob, signal: AbortSignal) {
  const pool = new Pool<AuditJobs>();
  signal.addEventListener('abort', () => pool.close(signal.reason), { once: true });
  try {
    const worker = new Worker(new URL('./audit-worker.ts', import.meta.url), { type: 'module' });
    pool.add(await loadWorker(worker));
    return await pool.run('audit', file);
  } finally {
    await pool.close();
  }
}

/** Audits a file and shows the statements, contradicted ones first. */
export async function showAudit(file: Blob, signal: AbortSignal): Promise<void> {
  clearAudit('Auditing …');
  try {
    const { subject, statements } = await audit(file, signal);
    const wrong = statements.filter(({ verdict }) => verdict === 'contradicted');
    find('verdict').textContent =
      `${subject}: ${wrong.length ? `${wrong.length} of ${statements.length} statements contradicted` : `nothing contradicted in ${statements.length} statements`}`;
    const others = statements.filter(({ verdict }) => verdict !== 'contradicted');
    find('statements').replaceChildren(...[...wrong, ...others].map(item));
  } catch (error) {
    clearAudit('');
    throw error;
  }
}

/** Removes the statements. */
export function clearAudit(text: string): void {
  find('verdict').textContent = text;
  find('statements').replaceChildren();
}

function item({ claim, verdict, because }: Statement): HTMLElement {
  const title = element('p', [element('strong', verdict), `: ${claim}`]);
  return element('li', [title, element('p', because)], verdict.replaceAll(' ', '-'));
}
