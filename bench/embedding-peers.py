"""Measures int8 dynamic quantization by onnxruntime of a BERT-like embedding model with mean pooling: bytes, and cosines to the original.

    pip install torch transformers onnx onnxruntime
    python bench/embedding-peers.py MODEL_DIR TOKENS.json

TOKENS.json has the token ids of each sentence; bench/embedding.js writes it. Prints JSON, a list of rows.
"""
import json
import os
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy
import onnxruntime
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from transformers import AutoModel

folder, tokens = sys.argv[1:]
sentences = json.loads(Path(tokens).read_text())
model = AutoModel.from_pretrained(folder, attn_implementation='eager').eval()


class Hidden(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask):
        return self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state


def embeddings(path):
    """Returns the unit embedding of each sentence; sentences of one length run together, eight at a time."""
    session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
    lengths = defaultdict(list)
    for index, sentence in enumerate(sentences):
        lengths[len(sentence)].append(index)
    found = [None] * len(sentences)
    for indices in lengths.values():
        for start in range(0, len(indices), 8):
            chunk = indices[start:start + 8]
            ids = numpy.array([sentences[i] for i in chunk], dtype=numpy.int64)
            (hidden,) = session.run(None, {'input_ids': ids, 'attention_mask': numpy.ones_like(ids)})
            for index, vector in zip(chunk, hidden.mean(axis=1)):
                found[index] = vector / numpy.linalg.norm(vector)
    return numpy.array(found)


def row(name, path, original):
    cosines = (embeddings(path) * original).sum(axis=1)
    return {
        'name': name,
        'bytes': os.path.getsize(path),
        'mean': float(cosines.mean()),
        'p1': float(numpy.quantile(cosines, 0.01)),
        'min': float(cosines.min()),
    }


with tempfile.TemporaryDirectory() as place:
    plain = f'{place}/model.onnx'
    example = torch.ones((2, 8), dtype=torch.long)
    axes = {0: 'batch', 1: 'sequence'}
    torch.onnx.export(
        Hidden(model),
        (example, torch.ones_like(example)),
        plain,
        input_names=['input_ids', 'attention_mask'],
        output_names=['last_hidden_state'],
        dynamic_axes={name: axes for name in ('input_ids', 'attention_mask', 'last_hidden_state')},
        opset_version=17,
        dynamo=False,
    )
    original = embeddings(plain)
    rows = [row('onnxruntime float32', plain, original)]
    for name, options in {
        'onnxruntime int8': {},
        'onnxruntime int8, a scale per channel, reduced range': {'per_channel': True, 'reduce_range': True},
    }.items():
        path = f'{place}/int8.onnx'
        quantize_dynamic(plain, path, weight_type=QuantType.QInt8, **options)
        rows.append(row(name, path, original))
print(json.dumps(rows))
