// @module-tag slow
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { open } from '../src/index.js';
import { complaint, weightpress } from './helpers/cli.js';
import { needs } from './helpers/needs.js';
import { PYTHON, python as runPython } from './helpers/python.js';
import { folder } from './helpers/safetensors.js';

const place = folder({});
const at = (name: string) => join(place, name);

/** Debian's Python has Debian's PyTorch, whatever other Pythons there are. */
const python = (code: string) => runPython(place, code);

/** Tensors of many kinds, saved both ways, and their plain bytes for comparison. */
const MAKE = `
torch.manual_seed(1)
base = torch.randn(6, 8)
tensors = {
  'float': base, 'shared': base, 'row': base[2], 'transposed': base.t(), 'strided': base[::2, 1::3],
  'expanded': torch.randn(1, 4).expand(3, 4), 'offset': base[3:, 2:5], 'half': torch.randn(5).half(),
  'bfloat': torch.randn(3, 2).bfloat16(), 'double': torch.randn(4).double(), 'long': torch.arange(5), 'int': torch.arange(3).int(),
  'short': torch.arange(3).short(), 'char': torch.arange(3).to(torch.int8), 'byte': torch.arange(3).to(torch.uint8),
  'bool': torch.tensor([True, False, True]), 'scalar': torch.tensor(2.5), 'empty': torch.zeros(0, 3),
  'permuted': torch.randn(2, 3, 4).permute(2, 0, 1), 'parameter': torch.nn.Parameter(torch.randn(2, 2)),
}
raw = {}
for name, tensor in tensors.items():
  plain = tensor.detach().contiguous()
  if plain.dtype == torch.bfloat16: plain = plain.view(torch.int16)
  raw[name] = {'shape': list(tensor.shape), 'hex': plain.numpy().tobytes().hex()}
json.dump(raw, open('raw.json', 'w'))
`;

describe('what PyTorch writes', needs(PYTHON, 'Python with PyTorch'), () => {
  test.each([
    ['the zip format', "torch.save(tensors, 'model.pt')"],
    ['the legacy format', "torch.save(tensors, 'model.pt', _use_new_zipfile_serialization=False)"],
    [
      'a training checkpoint',
      "torch.save({'epoch': 3, 'model_state_dict': tensors, 'optimizer': {'lr': 0.1}}, 'model.pt')",
    ],
  ])(
    '%s: every tensor has its bytes',
    async (_, save) => {
      python(MAKE + save);
      const raw = JSON.parse(readFileSync(at('raw.json'), 'utf8')) as Record<
        string,
        { shape: number[]; hex: string }
      >;
      const model = await open(at('model.pt'));
      expect(model.tensors.map(({ name }) => name)).toEqual(Object.keys(raw));
      for (const { name, shape, lengthBytes } of model.tensors) {
        const expected = Buffer.from(raw[name]!.hex, 'hex');
        expect({ name, shape }).toEqual({ name, shape: raw[name]!.shape });
        expect(lengthBytes).toBe(expected.length);
        expect(Buffer.from(await model.readTensor(name)).equals(expected)).toBe(true);
        if (expected.length > 9)
          expect(Buffer.from(await model.readTensor(name, 3, 9)).equals(expected.subarray(3, 9))).toBe(true);
      }
      await model.close();
    },
    60_000,
  );

  test('a folder of .bin shards comes back as it was, and reads as the same model', { tags: 'slow' }, () => {
    mkdirSync(at('sharded'), { recursive: true });
    writeFileSync(at('sharded/config.json'), '{}');
    python(`
torch.save({'a.weight': torch.randn(64, 32), 'a.bias': torch.randn(64)}, 'sharded/pytorch_model-00001-of-00002.bin')
torch.save({'b.weight': torch.randn(32, 64).t()}, 'sharded/pytorch_model-00002-of-00002.bin')
files = {'a.weight': 1, 'a.bias': 1, 'b.weight': 2}
json.dump({'metadata': {}, 'weight_map': {name: 'pytorch_model-0000%d-of-00002.bin' % n for name, n in files.items()}}, open('sharded/pytorch_model.bin.index.json', 'w'))
`);
    const made = weightpress('compress', at('sharded'), '-o', at('s.wpk'));
    expect(made.stderr).toBe('');
    expect(weightpress('verify', at('s.wpk'), '--against', at('sharded')).stdout).toMatch(/bit-exact/);
    expect(weightpress('decompress', at('s.wpk'), '-o', at('restored')).status).toBe(0);
    for (const name of readdirSync(at('sharded')))
      expect(readFileSync(at(`restored/${name}`)).equals(readFileSync(at(`sharded/${name}`)))).toBe(true);
    for (const path of [at('restored'), at('s.wpk')])
      expect(JSON.parse(weightpress('analyze', path, '--json').stdout).parameters.stored).toBe(2 * 2048 + 64);
  });

  test('evaluates as its safetensors twin', () => {
    mkdirSync(at('twin'), { recursive: true });
    for (const name of ['config.json', 'tokenizer.json', 'tokenizer_config.json'])
      writeFileSync(at(`twin/${name}`), readFileSync(join('examples/gpt-neo-tiny', name)));
    const header =
      "import struct\\ndata = open('SOURCE', 'rb').read()\\nn = struct.unpack('<Q', data[:8])[0]\\nhead = json.loads(data[8:8+n])";
    python(
      `${header.replaceAll('\\n', '\n').replace('SOURCE', join(process.cwd(), 'examples/gpt-neo-tiny/model.safetensors'))}
out = {}
for name, info in head.items():
  if name == '__metadata__': continue
  a, b = info['data_offsets']
  out[name] = torch.frombuffer(bytearray(data[8+n+a:8+n+b]), dtype=torch.bfloat16).reshape(info['shape'])
torch.save(out, 'twin/pytorch_model.bin')
`,
    );
    const run = weightpress(
      'evaluate',
      at('twin'),
      '--against',
      'examples/gpt-neo-tiny',
      '--text',
      'examples/held-out.txt',
      '--tokens',
      '1024',
      '--json',
    );
    expect(JSON.parse(run.stdout).kl.mean).toBe(0);
  }, 60_000);

  test('whole models, which are programs, are refused by the name of their class', () => {
    python("torch.save(torch.nn.Linear(2, 2), 'whole.pt')");
    const { status, lines, message } = complaint(weightpress('analyze', at('whole.pt')));
    expect({ status, lines }).toEqual({ status: 2, lines: 1 });
    expect(message).toMatch(/uses "torch\.nn\.modules\.linear\.Linear"/);
  }, 60_000);

  test('cut or damaged files are refused in one line', { tags: 'slow' }, () => {
    python(
      `${MAKE}torch.save(tensors, 'model.pt')\ntorch.save(tensors, 'old.pt', _use_new_zipfile_serialization=False)`,
    );
    for (const name of ['model.pt', 'old.pt']) {
      const bytes = readFileSync(at(name));
      for (const share of [0.1, 0.5, 0.9, 0.999]) {
        writeFileSync(at('cut.pt'), bytes.subarray(0, Math.floor(bytes.length * share)));
        const { status, lines, stack } = complaint(weightpress('analyze', at('cut.pt')));
        expect({ status, lines, stack }).toEqual({ status: 2, lines: 1, stack: false });
      }
    }
  });
});

/** A zip archive of stored entries, its directory as given. */
function zip(
  entries: readonly { name: string; data: Uint8Array; size?: number; offset?: number; method?: number }[],
): Uint8Array {
  const locals: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const { name, data, size = data.length, offset: said, method = 0 } of entries) {
    const header = Buffer.alloc(30);
    header.writeUInt32LE(0x04034b50);
    header.writeUInt16LE(name.length, 26);
    const local = Buffer.concat([header, Buffer.from(name), data]);
    const entry = Buffer.alloc(46);
    entry.writeUInt32LE(0x02014b50);
    entry.writeUInt16LE(method, 10);
    entry.writeUInt32LE(data.length, 20);
    entry.writeUInt32LE(size, 24);
    entry.writeUInt16LE(name.length, 28);
    entry.writeUInt32LE(said ?? offset, 42);
    directory.push(entry, Buffer.from(name));
    locals.push(local);
    offset += local.length;
  }
  const listed = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50);
  end.writeUInt16LE(entries.length, 10);
  end.writeUInt32LE(listed.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...locals, listed, end]);
}

describe('hostile archives are refused in one line', () => {
  const data = Buffer.from('x');
  const torch = (module: string, name: string) => Buffer.from(`\x80\x02c${module}\n${name}\n)R.`, 'latin1');
  test.each([
    ['a path out of the archive', zip([{ name: '../../evil', data }]), /would leave the archive/],
    ['an absolute one', zip([{ name: '/etc/passwd', data }]), /would leave the archive/],
    [
      'a name twice',
      zip([
        { name: 'a/data.pkl', data },
        { name: 'a/data.pkl', data },
      ]),
      /duplicate entry/,
    ],
    [
      'entries that overlap',
      zip([
        { name: 'a', data },
        { name: 'b', data, offset: 0 },
      ]),
      /overlaps/,
    ],
    ['10 GB that are not there', zip([{ name: 'a/data.pkl', data, size: 3e9, method: 8 }]), /over the limit/],
    ['no pickle', zip([{ name: 'a', data }]), /expected one data\.pkl/],
    ['os.system', zip([{ name: 'a/data.pkl', data: torch('os', 'system') }]), /uses "os\.system"/],
    [
      'a hub loader',
      zip([{ name: 'a/data.pkl', data: torch('torch.hub', 'load') }]),
      /uses "torch\.hub\.load"/,
    ],
  ] as const)('%s', (_, bytes, message) => {
    writeFileSync(at('bad.pt'), bytes);
    for (const command of ['analyze', 'audit']) {
      const { status, lines, stack, message: said } = complaint(weightpress(command, at('bad.pt')));
      expect({ status, lines, stack }).toEqual({ status: 2, lines: 1, stack: false });
      expect(said).toMatch(message);
    }
    expect(existsSync(at('../evil'))).toBe(false);
  });
});
