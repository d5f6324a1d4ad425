"""Compresses a file of weights with ZipNN's library, or decompresses it; bench/run.js measures it.

    python bench/zipnn-file.py compress IN OUT bfloat16
    python bench/zipnn-file.py decompress IN OUT
"""
import os
import sys
from pathlib import Path

import zipnn

action, source, target, *rest = sys.argv[1:]
data = Path(source).read_bytes()
if action == 'compress':
    coder = zipnn.ZipNN(bytearray_dtype=rest[0], threads=os.cpu_count())
    Path(target).write_bytes(coder.compress(data))
else:
    Path(target).write_bytes(zipnn.ZipNN(threads=os.cpu_count()).decompress(data))
