"""Prints the bytes that lossless compressors of weights make of one file.

    pip install zipnn bigsmall && python bench/lossless-peers.py MODEL.safetensors

Needs the command zstd and a build of this project. The file's weights are bfloat16.
"""
import os
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import zipnn

source = Path(sys.argv[1])
program = Path(__file__).parent.parent / 'dist/cli/main.js'


def run(*command):
    subprocess.run([str(part) for part in command], check=True, capture_output=True)


with tempfile.TemporaryDirectory() as folder:
    place = Path(folder)
    data = source.read_bytes()
    run('node', program, 'compress', source, '-o', place / 'model.wpk')
    run(Path(sys.executable).parent / 'bigsmall', 'compress', source, '-o', place / 'model.bs')
    run('zstd', '-19', '-q', source, '-o', place / 'model.zst')
    sizes = {
        'weightpress': os.path.getsize(place / 'model.wpk'),
        f'ZipNN {version("zipnn")}': len(zipnn.ZipNN(bytearray_dtype='bfloat16').compress(data)),
        f'BigSmall {version("bigsmall")}': os.path.getsize(place / 'model.bs'),
        'zstd -19': os.path.getsize(place / 'model.zst'),
    }
print('| | bytes | share |\n|---|---|---|')
for name, size in sizes.items():
    print(f'| {name} | {size:,} | {100 * size / len(data):.2f} % |')
