import { serveThread } from '../../workers/node/thread.js';
import { BLOCK_JOBS } from '../jobs.js';

serveThread(BLOCK_JOBS);
