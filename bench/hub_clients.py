"""Python's own clients of the Hub against a server: HF_ENDPOINT is its address. Called by bench/serve.js, which reads the JSON it prints.

python hub_clients.py MODEL ORIGINAL_FOLDER CUTTING_ENDPOINT
"""
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time

model, original, cutting = sys.argv[1:4]
home = tempfile.TemporaryDirectory()
os.environ["HF_HOME"] = home.name
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["HF_HUB_VERBOSITY"] = "critical"

import huggingface_hub
import transformers
from huggingface_hub import HfApi, hf_hub_download, snapshot_download
from transformers import AutoModelForCausalLM, AutoTokenizer

transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
huggingface_hub.utils.disable_progress_bars()


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def same_as_original(folder):
    names = sorted(os.listdir(original))
    return names == sorted(os.listdir(folder)) and all(
        digest(os.path.join(original, name)) == digest(os.path.join(folder, name)) for name in names
    )


found = {"versions": f"huggingface_hub {huggingface_hub.__version__}, transformers {transformers.__version__}"}
sha = HfApi().model_info(model).sha
started = time.perf_counter()
folder = snapshot_download(model, revision=sha)
found["snapshot_download, seconds"] = round(time.perf_counter() - started, 2)
found["snapshot_download, every digest as the original's"] = same_as_original(folder)

loaded = AutoModelForCausalLM.from_pretrained(model)
there = AutoModelForCausalLM.from_pretrained(original)
tokens = AutoTokenizer.from_pretrained(model)("It was a dark night, and", return_tensors="pt")
same = bool((loaded(**tokens).logits == there(**tokens).logits).all())
found["from_pretrained, logits as the original's, bit for bit"] = same

offline = subprocess.run(
    [
        sys.executable,
        "-c",
        "import sys; from transformers import AutoModelForCausalLM as M; M.from_pretrained(sys.argv[1])",
        model,
    ],
    env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_ENDPOINT": "http://127.0.0.1:9"},
    capture_output=True,
)
found["from_pretrained with HF_HUB_OFFLINE=1"] = offline.returncode == 0

try:
    hf_hub_download(model, "config.json", revision="v9")
    found["another revision"] = "found"
except Exception as error:
    found["another revision"] = type(error).__name__

largest = max(os.listdir(original), key=lambda name: os.path.getsize(os.path.join(original, name)))
started = time.perf_counter()
with tempfile.TemporaryDirectory() as again:
    # huggingface_hub resumes five times in a call, as long as not a byte comes: a script calls it again, as a user would
    for attempts in range(1, 40):
        try:
            path = hf_hub_download(model, largest, endpoint=cutting, cache_dir=again)
            break
        except Exception as error:
            last = error
    else:
        raise last
    found["cut download, calls until it was whole"] = attempts
    found["cut download, digest as the original's"] = digest(path) == digest(os.path.join(original, largest))

print(json.dumps(found))
