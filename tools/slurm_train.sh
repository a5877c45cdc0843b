#!/usr/bin/env bash
# tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [options of tools/train.py]; GPUS, GPUS_PER_NODE, CPUS_PER_TASK
set -euo pipefail
if [ $# -lt 4 ]; then
    sed -n 2p "$0"
    exit 2
fi
ROOT="$(cd "$(dirname "$0")/.." && pwd)"
GPUS="${GPUS:-8}"
GPUS_PER_NODE="${GPUS_PER_NODE:-8}"

# shellcheck disable=SC2086  (SRUN_ARGS is several words)
PYTHONPATH="$ROOT:${PYTHONPATH:-}" exec srun -p "$1" \
    --job-name="$2" \
    --gres=gpu:"$GPUS_PER_NODE" \
    --ntasks="$GPUS" \
    --ntasks-per-node="$GPUS_PER_NODE" \
    --cpus-per-task="${CPUS_PER_TASK:-8}" \
    --kill-on-bad-exit=1 \
    ${SRUN_ARGS:-} \
    python -u "$ROOT/tools/train.py" "$3" --work-dir="$4" --launcher=slurm "${@:5}"
