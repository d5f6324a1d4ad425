// The files of examples/machines: they parse, fit their schemas, and name what the program has.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020, type SchemaObject } from 'ajv/dist/2020.js';
import { validate } from 'dockerfile-utils';
import { describe, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { batchCommand } from '../src/cli/batch.js';
import { compressCommand } from '../src/cli/compress.js';
import { QUEUE_VARIABLE, STORE_VARIABLE } from '../src/cli/machines.js';
import { statusCommand } from '../src/cli/status.js';
import { workerCommand } from '../src/cli/worker.js';
import { KINDS } from '../src/machines/table.js';
import { queueOf } from '../src/queue/names.js';
import { SCHEMA } from '../src/queue/postgres.js';

/** Commands that examples may name, with their options. */
const COMMANDS = [workerCommand(), compressCommand(), batchCommand(), statusCommand()];
const OPTIONS = Object.fromEntries(
  COMMANDS.map((command) => [command.name(), command.options.flatMap(({ short, long }) => [short, long])]),
);
/** Seconds that a worker gives its jobs after SIGTERM. */
const GRACE_SECONDS: number = COMMANDS[0]!.opts().grace;

const FOLDER = 'examples/machines';
const read = (name: string) => readFileSync(join(FOLDER, name), 'utf8');
const schemas = (name: string) =>
  JSON.parse(readFileSync(`fixtures/deployment/${name}.json`, 'utf8')) as SchemaObject;

/** What a schema says against a value, one line each. */
function errorsOf(schema: SchemaObject, value: unknown): string[] {
  const check = new Ajv2020({ strict: false, validateFormats: false, allErrors: true }).compile(schema);
  check(value);
  return (check.errors ?? []).map(
    ({ instancePath, message, params }) => `${instancePath} ${message} ${JSON.stringify(params)}`,
  );
}

/** What a command line names that the program does not have. */
function unknownIn([command, ...args]: readonly string[]): string[] {
  const options = OPTIONS[command!];
  if (!options) return [`command ${command}`];
  const at = args.indexOf('--kinds');
  const kinds = at < 0 ? [] : args[at + 1]!.split(',');
  return [
    ...args.filter((arg) => /^--?[a-z]/.test(arg) && !options.includes(arg)),
    ...kinds.filter((kind) => !(KINDS as readonly string[]).includes(kind)),
  ];
}

describe('the Dockerfile', () => {
  const text = read('Dockerfile');
  const instruction = (name: string) =>
    [...text.matchAll(new RegExp(`^${name} (.*)$`, 'gm'))].map((m) => m[1]);
  const { devDependencies, engines } = JSON.parse(readFileSync('package.json', 'utf8'));

  it('has no mistakes', () => {
    expect(validate(text).map(({ message }) => message)).toEqual([]);
  });

  it('starts a worker, not as root', () => {
    expect(JSON.parse(instruction('ENTRYPOINT').at(-1)!)).toEqual(['weightpress']);
    expect(unknownIn(JSON.parse(instruction('CMD').at(-1)!))).toEqual([]);
    expect(instruction('STOPSIGNAL')).toEqual(['SIGTERM']);
    expect(instruction('USER').at(-1)).toMatch(/^[1-9]\d*:/);
  });

  it('installs versions that the tests run with', () => {
    for (const [, node] of text.matchAll(/^FROM node:(\d+)/gm))
      expect(Number(node)).toBeGreaterThanOrEqual(Number.parseInt(engines.node.slice(2), 10));
    for (const name of ['bullmq', 'ioredis', 'pg', '@aws-sdk/client-s3'])
      expect(text).toContain(` ${name}@${devDependencies[name].match(/\d+/)} `);
  });

  it('is sent what it copies', () => {
    const sent = [...read('Dockerfile.dockerignore').matchAll(/^!([^*\n]+)$/gm)].map(([, name]) => name!);
    expect(sent.filter((name) => !existsSync(name))).toEqual([]);
    const { files } = JSON.parse(readFileSync('package.json', 'utf8')) as { files: string[] };
    const packed = files.filter((name) => !/^!|^dist$/.test(name)).map((name) => name.split('/')[0]);
    expect(packed.filter((name) => !sent.includes(name!))).toEqual([]);
  });
});

describe('compose.yaml', () => {
  const compose = parse(read('compose.yaml'));

  it('fits the Compose Specification', () => {
    expect(errorsOf(schemas('compose'), compose)).toEqual([]);
  });

  it('starts workers as the program has them', () => {
    expect(unknownIn(compose.services.worker.command)).toEqual([]);
    const { context, dockerfile } = compose.services.worker.build;
    expect(existsSync(join(FOLDER, context, dockerfile))).toBe(true);
    expect(Object.keys(compose.services.worker.environment)).toEqual(
      expect.arrayContaining([QUEUE_VARIABLE, STORE_VARIABLE]),
    );
  });

  it('waits for workers to hand back their jobs', () => {
    const [, minutes] = /^(\d+)m$/.exec(compose.services.worker.stop_grace_period)!;
    expect(60 * Number(minutes)).toBeGreaterThan(2 * GRACE_SECONDS);
  });

  it('opens no port to other machines', () => {
    for (const { ports = [] } of Object.values<{ ports?: string[] }>(compose.services))
      for (const port of ports) expect(port).toMatch(/^127\.0\.0\.1:/);
  });
});

describe('kubernetes.yaml', () => {
  const documents = parseAllDocuments(read('kubernetes.yaml'));
  const resources = documents.map((document) => document.toJS());
  const one = (kind: string) => resources.find((resource) => resource.kind === kind);
  const [container] = one('Deployment').spec.template.spec.containers;

  it.each(resources.map((resource) => [resource.kind, resource]))('%s fits its schema', (kind, resource) => {
    const { definitions, kinds } = schemas('kubernetes');
    const schema = { ...kinds, ...schemas('keda').kinds }[kind];
    expect(errorsOf({ ...schema, definitions }, resource)).toEqual([]);
  });

  it('is YAML without warnings', () => {
    expect(documents.flatMap(({ errors, warnings }) => [...errors, ...warnings])).toEqual([]);
  });

  it('starts workers as the program has them, with the Secret that its head makes', () => {
    expect(unknownIn(container.args)).toEqual([]);
    expect(container.env.map(({ name }: { name: string }) => name)).toEqual(
      expect.arrayContaining([QUEUE_VARIABLE, STORE_VARIABLE]),
    );
    const made = [...read('kubernetes.yaml').matchAll(/--from-literal=([\w-]+)=/g)].map(([, key]) => key);
    const used = [
      ...container.env.map(
        (variable: { valueFrom?: { secretKeyRef: { key: string } } }) => variable.valueFrom?.secretKeyRef.key,
      ),
      ...one('TriggerAuthentication').spec.secretTargetRef.map(({ key }: { key: string }) => key),
    ];
    expect(new Set(used.filter(Boolean))).toEqual(new Set(made));
  });

  it('waits for workers to hand back their jobs', () => {
    const { terminationGracePeriodSeconds } = one('Deployment').spec.template.spec;
    expect(terminationGracePeriodSeconds).toBeGreaterThan(2 * GRACE_SECONDS);
  });

  it('counts jobs on PostgreSQL in the schema that the program makes', () => {
    const [, table, prefix] = /FROM ([\w.]+) WHERE queue LIKE '([\w-]+)%'/.exec(read('kubernetes.yaml'))!;
    expect(table).toBe(`${SCHEMA}.job`);
    for (const kind of KINDS) expect(queueOf(kind).startsWith(prefix!)).toBe(true);
  });

  it('counts the waiting and the running jobs of every kind', () => {
    const { triggers, advanced } = one('ScaledObject').spec;
    const counted = triggers.map((trigger: { metadata: { listName: string } }) => trigger.metadata.listName);
    expect(counted.sort()).toEqual(
      KINDS.flatMap((kind) => ['active', 'wait'].map((list) => `bull:${queueOf(kind)}:${list}`)).sort(),
    );
    expect(advanced.scalingModifiers.formula.split(/\s*\+\s*/).sort()).toEqual(
      triggers.map(({ name }: { name: string }) => name).sort(),
    );
  });
});

describe('a mistake is found', () => {
  it.each([
    ['compose', { services: { worker: { comand: [] } } }],
    ['compose', { services: { worker: { restart: 5 } } }],
  ])('%s: %j', (name, value) => {
    expect(errorsOf(schemas(name), value)).not.toEqual([]);
  });

  it.each([
    ['kubernetes', 'Deployment', 'replicas', '2'],
    ['kubernetes', 'Deployment', 'replica', 2],
    ['keda', 'ScaledObject', 'maxReplicas', 2],
  ])('%s: %s with %s: %j', (name, kind, field, value) => {
    const { kinds, definitions } = schemas(name);
    const errors = errorsOf({ ...kinds[kind], definitions }, { spec: { [field]: value } });
    expect(errors.filter((error) => error.includes(field))).not.toEqual([]);
  });

  it('in a command', () => {
    expect(unknownIn(['worker', '--queues', 'x', '--kinds', 'model,row'])).toEqual(['--queues', 'row']);
  });
});

it('commands in the README are as the program has them', () => {
  const lines = [...read('README.md').matchAll(/(?:^weightpress|run --rm worker) (.*)$/gm)].map(
    ([, line]) => line!,
  );
  expect(lines.length).toBeGreaterThan(3);
  expect(lines.flatMap((line) => unknownIn(line.split(' ')))).toEqual([]);
});

it('the board shows every kind', () => {
  const [, list] = /const KINDS = (\[[^\]]*\])/.exec(read('board.js'))!;
  expect(parse(list!)).toEqual(KINDS);
  expect(read('board.js')).toContain(`schema: '${SCHEMA}'`);
});

it('files that commands name exist', () => {
  for (const name of ['README.md', 'compose.yaml', 'Dockerfile', 'kubernetes.yaml', 'board.js'])
    for (const [path] of read(name).matchAll(/examples\/machines\/[\w.]+\w/g))
      expect(existsSync(path), path).toBe(true);
});
