#!/usr/bin/env bash
# tools/dist_train.sh CONFIG NUM_GPUS (with --cpu: processes) [options of tools/train.py]; NNODES, NODE_RANK, MASTER_ADDR, PORT
set -euo pipefail
if [ $# -lt 2 ]; then
    sed -n 2p "$0"
    exit 2
fi
ROOT="$(cd "$(dirname "$0")/.." && pwd)"
PYTHON="python"
[ -x "$ROOT/.venv/bin/python" ] && [ -z "${VIRTUAL_ENV:-}${CONDA_PREFIX:-}" ] && PYTHON="$ROOT/.venv/bin/python"

PYTHONPATH="$ROOT:${PYTHONPATH:-}" exec "$PYTHON" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" \
    --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --master_port="${PORT:-29500}" \
    --nproc_per_node="$2" \
    "$ROOT/tools/train.py" "$1" --launcher pytorch "${@:3}"
