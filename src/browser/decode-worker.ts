import { servePage } from '../workers/browser/web-worker.js';
import { decode } from '../wpk/jobs.js';

servePage({ decode });
