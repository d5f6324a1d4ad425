"""Prints the bytes that ZipNN and BigSmall make of a safetensors file, as JSON; null where they do not take its weights.

    pip install zipnn bigsmall && python bench/floor-peers.py MODEL.safetensors
"""
import contextlib
import json
import os
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import zipnn

source = Path(sys.argv[1])
data = source.read_bytes()
(length,) = struct.unpack('<Q', data[:8])
header = json.loads(data[8 : 8 + length])
header.pop('__metadata__', None)
ZIPNN = {'BF16': 'bfloat16', 'F16': 'float16', 'F32': 'float32', 'F8_E4M3': 'float8_e4m3fn', 'F8_E5M2': 'float8_e5m2'}


def with_zipnn():
    """Each tensor by its type; small ones, and those of types that ZipNN does not know, as they are."""
    size = 8 + length
    largest = max(header.values(), key=lambda tensor: tensor['data_offsets'][1] - tensor['data_offsets'][0])
    if largest['dtype'] not in ZIPNN:
        return None
    for tensor in header.values():
        start, end = (8 + length + offset for offset in tensor['data_offsets'])
        piece = data[start:end]
        coded = len(piece)
        if tensor['dtype'] in ZIPNN and len(piece) > 4096:
            with contextlib.suppress(Exception):
                coded = min(coded, len(zipnn.ZipNN(bytearray_dtype=ZIPNN[tensor['dtype']]).compress(piece)))
            if tensor is largest and coded == len(piece):
                return None
        size += coded
    return size


def with_bigsmall():
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / 'model.bs'
        program = Path(sys.executable).parent / 'bigsmall'
        try:
            subprocess.run([program, 'compress', source, '-o', target], check=True, capture_output=True, timeout=300)
            return os.path.getsize(target)
        except (subprocess.SubprocessError, OSError):
            return None


with contextlib.redirect_stdout(sys.stderr):
    sizes = {'zipnn': with_zipnn(), 'bigsmall': with_bigsmall()}
print(json.dumps(sizes))
