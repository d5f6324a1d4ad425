"""Makes ONNX files of Gaussian weights as onnxruntime quantizes them, to compare their compressed sizes with the entropy of their integers.

  pip install onnx==1.23.2 onnxruntime==1.32.0
  ORT_DISABLE_TELEMETRY=1 python bench/onnx.py OUT
  for f in OUT/*.onnx; do weightpress compress $f -o $f.wpk; zstd -19 -k $f; done; ls -l OUT

Four matrices of 2048 x 2048, with row and column scales drawn as in trained weights (log-normal, sigma 0.3). The entropy that is printed
is that of single integers, of each matrix for itself: of 4 bits per nibble, of 8 bits per byte; scales and zero points count fully.
"""

import logging
import pathlib
import sys

sys.path.pop(0)
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
from onnxruntime.transformers.float16 import convert_float_to_float16

logging.disable(logging.WARNING)
OUT = pathlib.Path(sys.argv[1])
OUT.mkdir(parents=True, exist_ok=True)
SIZE, MATRICES = 2048, 4
rng = np.random.default_rng(0)


def gaussian():
    rows, columns = np.exp(rng.normal(0, 0.3, (SIZE, 1))), np.exp(rng.normal(0, 0.3, (1, SIZE)))
    return (rng.normal(0, 0.02, (SIZE, SIZE)) * rows * columns).astype(np.float32)


names = [f"layers.{i}.mlp.weight" for i in range(MATRICES)]
nodes = [helper.make_node("MatMul", [f"x{i}" if i else "x", name], [f"x{i + 1}"], name=f"node{i}") for i, name in enumerate(names)]
graph = helper.make_graph(
    nodes,
    "gaussian",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, SIZE])],
    [helper.make_tensor_value_info(f"x{MATRICES}", TensorProto.FLOAT, [1, SIZE])],
    [numpy_helper.from_array(gaussian(), name) for name in names],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
plain = str(OUT / "f32.onnx")
onnx.save(model, plain)
onnx.save(convert_float_to_float16(onnx.load(plain), keep_io_types=True), OUT / "f16.onnx")
quantize_dynamic(plain, OUT / "int8-channels.onnx", weight_type=QuantType.QInt8, per_channel=True)
quantize_dynamic(plain, OUT / "int8-tensor.onnx", weight_type=QuantType.QInt8)
for block in (32, 128):
    for name, is_symmetric in {"symmetric": True, "asymmetric": False}.items():
        quantizer = MatMulNBitsQuantizer(onnx.load(plain), block_size=block, is_symmetric=is_symmetric)
        quantizer.process()
        onnx.save(quantizer.model.model, OUT / f"q4-{block}-{name}.onnx")
quantizer = MatMulNBitsQuantizer(onnx.load(plain), block_size=32, is_symmetric=True, quant_format=QuantFormat.QDQ)
quantizer.process()
onnx.save(quantizer.model.model, OUT / "q4-32-int4.onnx")


def entropy(values):
    p = np.bincount(values) / len(values)
    return -(p[p > 0] * np.log2(p[p > 0])).sum()


for path in sorted(OUT.glob("*.onnx")):
    floor = total = 0
    for tensor in onnx.load(path).graph.initializer:
        data = np.frombuffer(tensor.raw_data, np.uint8)
        total += len(data)
        is_packed = "_Q4" in tensor.name and "scale" not in tensor.name and "zero" not in tensor.name
        if is_packed:
            floor += entropy(np.concatenate([data & 15, data >> 4])) * 2 * len(data) / 8
        elif tensor.data_type == TensorProto.INT8:
            floor += entropy(data) * len(data) / 8
        else:
            floor += len(data)
    print(f"{path.name:26} {path.stat().st_size:>11,} bytes; entropy of the integers {100 * floor / total:.2f} %")
