import { hashJobs } from './hash-jobs.js';
import { serveThread } from './thread.js';

serveThread(hashJobs());
