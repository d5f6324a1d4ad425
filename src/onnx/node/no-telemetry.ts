import { isMainThread } from 'node:worker_threads';

// onnxruntime-node reports on who uses it unless this is set before it is loaded: it asks for the host of a collector, keeps a device
// id under ~/.cache/Microsoft and writes what it could not send into the temporary folder. A worker's environment is a copy that
// native code does not see, so whatever starts threads that load it imports this first.
if (isMainThread) process.env.ORT_DISABLE_TELEMETRY = '1';
