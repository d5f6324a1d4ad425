import { isMainThread } from 'node:worker_threads';

// onnxruntime-node sends telemetry unless this variable is set before it is loaded: it contacts a collector, stores a device id in
// ~/.cache/Microsoft and writes unsent data to the temporary folder. A worker's environment is a copy that native code does not see, so
// code that starts threads which load the package imports this module first.
if (isMainThread) process.env.ORT_DISABLE_TELEMETRY = '1';
