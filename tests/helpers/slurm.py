"""Programs that stand for Slurm on one machine: every job begins at once, and squeue knows it ever after."""

import os
from pathlib import Path

SBATCH = """
number=$(( $(ls "$JOBS" | grep -c state) + 1 ))
echo RUNNING > "$JOBS/$number.state"
cp "$1" "$JOBS/$number.script"
export SLURM_JOB_ID=$number
job='bash "$JOBS/$SLURM_JOB_ID.script"; echo COMPLETED > "$JOBS/$SLURM_JOB_ID.state"'
setsid sh -c "$job" > /dev/null 2>&1 < /dev/null &
echo "Submitted batch job $number"
"""
SRUN = """
while true; do
  case $1 in
    --output) output=$(echo "$2" | sed "s/%j/$SLURM_JOB_ID/; s/%t/0/"); shift 2 ;;
    --*) shift ;;
    *) break ;;
  esac
done
echo $$ > "$JOBS/$SLURM_JOB_ID.pid"
exec "$@" > "$output" 2>&1
"""
SQUEUE = """
for file in "$JOBS"/*.state; do echo "$(basename "$file" .state)|$(cat "$file")"; done
"""
SCANCEL = """
for word in "$@"; do
  case $word in
    --state=PENDING) exit 0 ;;
    --signal=*) name=${word#--signal=} ;;
    --*) ;;
    *) kill -s "${name:-KILL}" "$(cat "$JOBS/$word.pid")" ;;
  esac
done
"""


def stand_in(folder: Path) -> dict[str, str]:
    """Make the programs in a folder; gives the variables of the environment with which they are found."""
    programs, jobs = folder / "bin", folder / "jobs"
    programs.mkdir()
    jobs.mkdir()
    for name, text in {"sbatch": SBATCH, "srun": SRUN, "squeue": SQUEUE, "scancel": SCANCEL}.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}", "utf-8")
        (programs / name).chmod(0o755)
    return {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "JOBS": str(jobs)}
