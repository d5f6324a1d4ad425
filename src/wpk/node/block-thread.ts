import { serveThread } from '../../workers/node/thread.js';
import { NODE_BLOCK_JOBS } from './jobs.js';

serveThread(NODE_BLOCK_JOBS);
