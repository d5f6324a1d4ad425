/**
 * Compresses transformer weights into one .wpk file, losslessly or to a budget, and measures what is lost.
 * @module
 */

export type { Quantization } from './architectures/quantization-config.js';
export type { Architecture } from './architectures/registry.js';
export { ROLES, type Role } from './architectures/roles.js';
export type { Audit } from './audit/audit.js';
export { auditFile } from './audit/node/file.js';
export { auditClaim } from './audit/node/stated.js';
export type { Claim } from './audit/rate.js';
export type { Statement } from './audit/verdict.js';
export type { TensorStatistics } from './codecs/lossless/estimate.js';
export { TRANSFORMS, type TransformName } from './codecs/transform/coefficients.js';
export type { ByteSource } from './core/byte-source.js';
export type { Dtype } from './core/dtype.js';
export {
  type ByteRange,
  ConnectionError,
  type ErrorCode,
  InputError,
  type InputErrorOptions,
  IntegrityError,
  isInputError,
  type Place,
} from './core/errors.js';
export type { Folder, FolderFile, LeftOut, Listing } from './core/folder.js';
export type {
  Closable,
  EncodedTensor,
  Model,
  OpenOptions,
  SideFile,
  Tensor,
  TensorInfo,
  TensorRange,
  WeightFile,
} from './core/model.js';
export type { Progress, RunOptions } from './core/progress.js';
export type { SliceRange } from './core/slice.js';
export type { ElementArray } from './core/typed-array.js';
export { VERSION } from './core/version.js';
export type { TensorError, WeightError } from './evaluation/compare.js';
export type {
  ComparisonDetails,
  Distribution,
  EvaluationDetails,
  Measured,
  Percentile,
  ProbabilityChange,
} from './evaluation/details.js';
export type {
  CompareEmbeddingsOptions,
  EmbeddingComparison,
  SentenceMeasure,
} from './evaluation/embedding/compare.js';
export type { Agreement, Divergence, Evaluation, Perplexity, SavedLogits } from './evaluation/evaluate.js';
export { compareEmbeddings, embed, evaluate, generate } from './evaluation/node/run.js';
export type { EvaluateOptions } from './evaluation/options.js';
export type { RunningEstimate } from './evaluation/running.js';
export type { Estimate } from './evaluation/statistics.js';
export type { LabCurve } from './experiments/curves.js';
export {
  type LabOptions,
  type LabPoint,
  type LabReport,
  type LabRole,
  runLab as lab,
} from './experiments/lab.js';
export type { FetchedFolder, HubOptions, Reading } from './hub/folder.js';
export type { UploadOptions } from './hub/upload.js';
export type { Embeddings, EmbedOptions } from './inference/embedding/embed.js';
export type { GenerateOptions, Generation } from './inference/generate.js';
export type { Prompt } from './inference/prompt.js';
export type { Sampling } from './inference/sampling.js';
export {
  type Fallback,
  MIXTURE_NAMES as GGUF_MIXTURES,
  type Mixture,
  type MixtureType,
} from './models/gguf/mixtures.js';
export type { License } from './models/license.js';
export { type OpenModelOptions, openModel as open } from './open/open.js';
export {
  type ReadOptions,
  type SafeFile,
  type SafeSlice,
  type SafeTensor,
  safeOpen,
} from './open/safe-open.js';
export {
  type Analysis,
  type AnalyzeOptions,
  analyze,
  type DtypeAnalysis,
  type RoleAnalysis,
  type TensorAnalysis,
} from './operations/analyze.js';
export { attachQuality } from './operations/attach.js';
export type { CalibrationOptions } from './operations/calibration-text.js';
export { type CatalogEntry, type CatalogOptions, catalog } from './operations/catalog.js';
export {
  type Codec,
  type Compressed,
  type CompressOptions,
  compress,
  type TransformCodec,
} from './operations/compress.js';
export { type DecompressOptions, decompress } from './operations/decompress.js';
export { decompressToMemory } from './operations/decompress-to-memory.js';
export { type GgufOptions, writeGguf as exportGguf } from './operations/export/gguf.js';
export { type GgufWriteType, WRITE_TYPES as GGUF_TYPES } from './operations/export/gguf-types.js';
export { type ExportedOnnx, exportOnnx, type OnnxExportOptions } from './operations/export/onnx.js';
export { type ExportDtype, type ExportOptions, exportSafetensors } from './operations/export/safetensors.js';
export { type InspectOptions, inspect, inspectGguf } from './operations/inspect.js';
export type { PushPlan } from './operations/push/plan.js';
export { type Pushed, planPush, push } from './operations/push/push.js';
export type { TensorNames } from './operations/quantize/described.js';
export type { QuantizeOptions } from './operations/quantize/options.js';
export { type QuantizedGguf, type QuantizedTensor, quantizeGguf } from './operations/quantize/quantize.js';
export type { QuantizationRecord } from './operations/quantize/record.js';
export type { GgufSummary, GgufTensorSummary, GgufTypeSummary } from './operations/quantize/summary.js';
export type { TypeRule } from './operations/quantize/types.js';
export type { TensorScan } from './operations/scan.js';
export type { AnsweredRequest } from './operations/serve/answering.js';
export { type ServeOptions, type Serving, serve } from './operations/serve/serve.js';
export { type VerifyOptions, verify } from './operations/verify.js';
export type { CalibrationSource } from './quantization/calibration/calibrate.js';
export type { Budget } from './quantization/rate-control/budget.js';
export type { ChatMessage } from './tokenizer/chat-template.js';
export { ONNX_DTYPES, type OnnxDtype } from './transformers-js/encoding.js';
export type { StoredBase } from './wpk/base.js';
export type { ContainerOptions } from './wpk/reader.js';
export type {
  FileSummary,
  QuantizedSummary,
  Summary,
  SummaryRow,
  TensorSummary,
  WeightFileSummary,
} from './wpk/summary.js';
export type { Verification } from './wpk/verification.js';
