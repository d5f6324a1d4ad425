import { loadRuntime } from '../onnx/node/runtime.js';
import { serveThread } from '../workers/node/thread.js';
import { QuantizationJobs } from './jobs.js';

serveThread(new QuantizationJobs(await loadRuntime(1)));
