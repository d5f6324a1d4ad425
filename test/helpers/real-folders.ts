import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { writeGgufHeader } from '../../src/models/gguf/header-writer.js';
import { typeNamed } from '../../src/models/gguf/types.js';
import { python } from './python.js';
import { f32, safetensors, seededRandom, type TestTensor } from './safetensors.js';

// Folders as people have them, small: the layouts of libraries, with weights that are noise.

const random = seededRandom(14);
const noise = (n: number) => Float32Array.from({ length: n }, () => (random() + random() - 1) / 20);
const bytes = (n: number) => Uint8Array.from({ length: n }, () => Math.floor(random() * 256));
const matrix = (name: string, rows: number, columns: number) =>
  f32(name, [rows, columns], noise(rows * columns));
const integers = (name: string, shape: readonly number[], dtype = 'I32'): TestTensor => {
  const count = shape.reduce((product, n) => product * n, 1);
  return { name, dtype, shape, data: bytes(count * (dtype === 'F16' ? 2 : 4)) };
};
/** A GGUF file; numbers in `types` that are not known stay what they are. */
function gguf(split: number, number = 0): Uint8Array {
  const tensors = ['blk.0.attn_q.weight', 'blk.0.ffn_up.weight'].map((name) => ({
    name,
    type: typeNamed('Q8_0'),
    shape: [4, 64],
    lengthBytes: 4 * 2 * 34,
  }));
  const header = writeGgufHeader(
    [
      { key: 'general.architecture', type: 'string', value: 'llama' },
      { key: 'split.no', type: 'uint32', value: number },
      { key: 'split.count', type: 'uint32', value: split },
    ],
    tensors,
  );
  const data = tensors.map(({ lengthBytes }) =>
    Buffer.concat([bytes(lengthBytes), Buffer.alloc((32 - (lengthBytes % 32)) % 32)]),
  );
  return Buffer.concat([header, ...data]);
}

type Files = Readonly<Record<string, string | Uint8Array>>;

/** Writes files, then what Python makes in the same folder. */
const made = (files: () => Files, code?: string) => (path: string) => {
  for (const [name, content] of Object.entries(files())) {
    mkdirSync(dirname(join(path, name)), { recursive: true });
    writeFileSync(join(path, name), content);
  }
  if (code) python(path, code);
};

const BERT = '{"model_type":"bert","hidden_size":32}';
const STATE = `
torch.manual_seed(3)
state = {'transformer.wte.weight': torch.randn(64, 32), 'transformer.h.0.ln_1.weight': torch.ones(32), 'lm_head.weight': None}
state['lm_head.weight'] = state['transformer.wte.weight']
`;

/** By what people call them; each fills an empty folder. */
export const REAL_FOLDERS: Readonly<Record<string, (path: string) => void>> = {
  'sentence-transformers': made(() => ({
    'modules.json':
      '[{"idx":0,"path":"","type":"T"},{"idx":1,"path":"1_Pooling","type":"P"},{"idx":2,"path":"2_Dense","type":"D"}]',
    'config.json': BERT,
    'sentence_bert_config.json': '{"max_seq_length": 256}',
    'model.safetensors': safetensors([matrix('embeddings.word_embeddings.weight', 64, 32)], { format: 'pt' }),
    '1_Pooling/config.json': '{"pooling_mode_mean_tokens": true}',
    '2_Dense/config.json': '{"in_features": 32}',
    '2_Dense/model.safetensors': safetensors([matrix('linear.weight', 16, 32)]),
    'onnx/model.onnx': Buffer.concat(
      [Buffer.from([8, 7, 18, 4]), bytes(3000), noise(500_000)].map((part) =>
        Buffer.from(part.buffer, part.byteOffset, part.byteLength),
      ),
    ),
    'openvino/openvino_model.xml': '<net name="x"/>',
    'vocab.txt': '[PAD]\n[UNK]\n',
  })),
  diffusers: made(() => ({
    'model_index.json': '{"_class_name": "StableDiffusionPipeline"}',
    'unet/config.json': '{}',
    'unet/diffusion_pytorch_model.safetensors': safetensors([matrix('conv_in.weight', 32, 36)]),
    'unet/diffusion_pytorch_model.fp16.safetensors': safetensors([
      integers('conv_in.weight', [32, 36], 'F16'),
    ]),
    'vae/diffusion_pytorch_model.safetensors': safetensors([matrix('conv_in.weight', 16, 18)]),
    'text_encoder/model.safetensors': safetensors([matrix('text_model.embeddings.weight', 16, 18)]),
    'tokenizer/merges.txt': '#version: 0.2\na b\n',
    'scheduler/scheduler_config.json': '{"beta_end": 0.012}',
  })),
  Lightning: made(
    () => ({
      'hparams.yaml': 'lr: 0.001\n',
      'lightning_logs/version_0/events.out.tfevents.1.host.1.0': bytes(900),
    }),
    `${STATE}
import argparse
optimizer = {'state': {0: {'step': torch.tensor(4.), 'exp_avg': torch.randn(64, 32), 'exp_avg_sq': torch.rand(64, 32)}}, 'param_groups': [{'lr': 0.1, 'params': [0]}]}
torch.save({'epoch': 3, 'global_step': 400, 'pytorch-lightning_version': '2.1.0', 'state_dict': state, 'loops': {}, 'callbacks': {},
  'optimizer_states': [optimizer], 'lr_schedulers': [], 'hyper_parameters': argparse.Namespace(lr=0.1)}, 'last.ckpt')`,
  ),
  nanoGPT: made(
    () => ({ 'train.py': 'print(1)\n', 'out/.keep': '' }),
    `${STATE}
torch.save({'model': state, 'optimizer': {'state': {}, 'param_groups': []}, 'model_args': {'n_layer': 1}, 'iter_num': 5,
  'best_val_loss': torch.tensor(1.25), 'config': {'dtype': 'bfloat16'}}, 'out/ckpt.pt')
torch.save({'model': state, 'best_val_loss': torch.tensor(1.25)}, 'out/legacy.pt', _use_new_zipfile_serialization=False)`,
  ),
  DCP: made(
    () => ({ 'common.pt.txt': 'x' }),
    `${STATE}
import io, pickle
parts = []
with open('__0_0.distcp', 'wb') as out:
  for name, tensor in state.items():
    buffer = io.BytesIO(); torch.save(tensor, buffer); parts.append((name, out.tell(), buffer.tell())); out.write(buffer.getvalue())
pickle.dump({'storage': parts}, open('.metadata', 'wb'))`,
  ),
  GPTQ: made(() => ({
    'config.json':
      '{"model_type":"llama","quantization_config":{"quant_method":"gptq","bits":4,"group_size":128}}',
    'quantize_config.json': '{"bits": 4}',
    'model.safetensors': safetensors([
      integers('model.layers.0.self_attn.q_proj.qweight', [16, 128]),
      integers('model.layers.0.self_attn.q_proj.qzeros', [1, 16]),
      integers('model.layers.0.self_attn.q_proj.scales', [1, 128], 'F16'),
      {
        name: 'model.layers.0.self_attn.q_proj.g_idx',
        dtype: 'I32',
        shape: [128],
        data: new Uint8Array(Int32Array.from({ length: 128 }, (_, i) => i >> 5).buffer),
      },
    ]),
  })),
  LoRA: made(() => ({
    'adapter_config.json': '{"peft_type":"LORA","r":8}',
    'adapter_model.safetensors': safetensors([
      matrix('base_model.model.q.lora_A.weight', 8, 64),
      matrix('base_model.model.q.lora_B.weight', 64, 8),
    ]),
    'README.md': '---\nlibrary_name: peft\n---\n',
  })),
  'split GGUF': made(() => ({
    'model-00001-of-00002.gguf': gguf(2, 0),
    'model-00002-of-00002.gguf': gguf(2, 1),
    'README.md': '# quantized\n',
  })),
  "Mistral's consolidated": made(() => ({
    'params.json': '{"dim": 32}',
    'consolidated.safetensors': safetensors([
      matrix('tok_embeddings.weight', 64, 32),
      matrix('layers.0.attention.wq.weight', 32, 32),
    ]),
    'tokenizer.model.v3': bytes(3000),
    'tekken.json': '{"vocab": [1, 2]}',
    'model-00001-of-00001.safetensors': safetensors([matrix('model.embed_tokens.weight', 64, 32)]),
    'model.safetensors.index.json':
      '{"weight_map":{"model.embed_tokens.weight":"model-00001-of-00001.safetensors","gone":"model-00009-of-00009.safetensors"}}',
  })),
  'remote code': made(() => ({
    'config.json':
      '\ufeff{"model_type":"custom","auto_map":{"AutoModel":"modeling_x.X"},"eps":NaN,"max":Infinity}',
    'modeling_x.py': 'import torch\n\nclass X: pass\n',
    'configuration_x.py': '',
    'cl100k_base.tiktoken': 'IQ== 0\nIg== 1\n',
    'note: read me.txt': 'a name with a colon',
    '.hidden/settings': 'x',
    'assets/logo.png': bytes(4000),
    'model.safetensors': safetensors([
      { name: 'w', dtype: 'F4', shape: [64, 2], data: bytes(64) },
      { name: 's', dtype: 'F8_E8M0', shape: [4], data: bytes(4) },
      { name: 'c', dtype: 'C64', shape: [3], data: bytes(24) },
    ]),
  })),
  'T5 with spiece': made(() => ({
    'config.json': '{"model_type":"t5","d_model":32}',
    'spiece.model': Buffer.concat([Buffer.from([10, 14, 10, 5]), bytes(2_000_000)]),
    'pytorch_model.bin.index.json': '{"weight_map":{}}',
    'model.safetensors': safetensors([
      matrix('shared.weight', 64, 32),
      matrix('encoder.block.0.layer.0.SelfAttention.q.weight', 32, 32),
    ]),
    'tf_model.h5': bytes(5000),
    'flax_model.msgpack': bytes(5000),
    'rust_model.ot': bytes(1000),
  })),
  'a Trainer checkpoint': made(
    () => ({
      'config.json': '{"model_type":"gpt2"}',
      'model.safetensors': safetensors([matrix('wte.weight', 64, 32)]),
      'trainer_state.json': '{"log_history": [{"loss": NaN}]}',
      'runs/empty/.gitkeep': '',
    }),
    `
torch.manual_seed(5)
os.makedirs('logs/nothing/here')
torch.save({'state': {0: {'step': torch.tensor(9.), 'exp_avg': torch.randn(64, 32), 'exp_avg_sq': torch.rand(64, 32) ** 8}}, 'param_groups': []}, 'optimizer.pt')
torch.save({'last_epoch': 2}, 'scheduler.pt')
torch.save({'cpu': torch.get_rng_state(), 'python': (3, (1, 2), None)}, 'rng_state.pth')
import argparse
torch.save(argparse.Namespace(output_dir='x', learning_rate=1e-4), 'training_args.bin')`,
  ),
};
