import type { ByteSource } from '../core/byte-source.js';
import { elementCount } from '../core/dtype.js';
import { sumOf } from '../core/sum.js';
import { readGgufHeader } from '../models/gguf/header.js';
import type { Audit } from './audit.js';
import { judge, type Statement, show, supported } from './verdict.js';

/** Audits the header of a GGUF file: its weights, their rate, and whether its counts agree. @throws {InputError} for a malformed file. */
export async function auditGguf(source: ByteSource): Promise<Audit> {
  const { metadata, tensors, dataStart, version } = await readGgufHeader(source);
  const weights = sumOf(tensors, ({ shape }) => elementCount(shape));
  const bytes = sumOf(tensors, ({ start, end }) => end - start);
  const types = [...new Set(tensors.map(({ type }) => type.name))].join(', ');
  const statements: Statement[] = [
    supported(
      `the file holds ${show(weights)} weights`,
      `GGUF ${version}, ${show(tensors.length)} tensors (${types}) in ${show(bytes)} bytes: ${show(weights ? (8 * bytes) / weights : 0)} bits per weight, ${show(weights ? (8 * source.byteLength) / weights : 0)} for the whole file`,
    ),
  ];
  const last = tensors.reduce((end, tensor) => Math.max(end, tensor.end), dataStart);
  statements.push(
    judge(
      source.byteLength - last < 2 ** 16,
      'the file contains only its tensors',
      `they end at byte ${show(last)} of ${show(source.byteLength)}`,
    ),
  );
  const architecture = metadata.get('general.architecture');
  const stated = metadata.get(`${String(architecture)}.block_count`);
  if (typeof stated === 'number') {
    const blocks = new Set(tensors.flatMap(({ name }) => /^blk\.(\d+)\./.exec(name)?.[1] ?? [])).size;
    statements.push(
      judge(
        blocks === stated,
        `a model of ${show(stated)} layers`,
        `tensors of ${show(blocks)} layers found`,
      ),
    );
  }
  return { subject: source.name, statements };
}
