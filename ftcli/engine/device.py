"""Where the numbers are computed, in which format, and by how many processes."""

import atexit
import ctypes
import gc
import os
import shutil
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass

import torch
from accelerate import PartialState
from accelerate.utils import gather, reduce
from accelerate.utils.memory import clear_device_cache
from timm.layers import convert_sync_batchnorm
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ftcli.config.files.machine import from_machine
from ftcli.config.shared import Running
from ftcli.errors import RequestError
from ftcli.processes import local_process_index, process_count, process_index

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's malloc.h
FORMATS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Machine:
    """One device per process, and the number format of the body there.

    Losses, and in every evaluation the head, are float32. `rank` of `processes` is this one.
    """

    device: torch.device
    precision: str
    workers: int
    compiled: bool = False
    rank: int = 0
    processes: int = 1

    @property
    def name(self) -> str:
        """What computes, as the report says it."""
        return torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else self.device.type

    @property
    def loss_read_delay(self) -> int:
        """Steps that may pass before their losses are read: on a GPU every read waits for all queued work."""
        return 0 if self.device.type == "cpu" else 50

    def autocast(self) -> AbstractContextManager[None]:
        """Inside, matrix products and convolutions run in the machine's format."""
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, FORMATS[self.precision])

    def exact(self, values: Tensor) -> Tensor:
        """In float64, where that is: Apple's GPUs do not have it."""
        return values.cpu().double() if self.device.type == "mps" else values.double()

    def place(self, model: nn.Module) -> nn.Module:
        """Move a model here. Channels-last: convolutions run about 1.5 times faster in it, on CPU and on GPU."""
        return model.to(self.device).to(memory_format=torch.channels_last)

    def wrap_for_training(self, model: nn.Module) -> nn.Module:
        """The model as training calls it: gradients averaged over the processes, compiled where that is asked for.

        Call it after the parameters that shall move are chosen. On GPUs the processes share BatchNorm's statistics of a
        batch; on CPUs each has its own, and the running ones are those of the first process.
        """
        wrapped = model
        if self.processes > 1:
            on_gpu = self.device.type == "cuda"
            wrapped = DistributedDataParallel(
                convert_sync_batchnorm(model) if on_gpu else model, device_ids=[self.device] if on_gpu else None
            )
        return torch.compile(wrapped) if self.compiled else wrapped  # type: ignore[return-value]

    def broadcast_buffers(self, model: nn.Module) -> None:
        """Give every process the first one's buffers: each has BatchNorm statistics of its own images."""
        if self.processes > 1:
            for buffer in model.buffers():
                torch.distributed.broadcast(buffer, 0)

    def wait_for_all(self) -> None:
        """Wait until all processes have called this."""
        if self.processes > 1:
            torch.distributed.barrier()

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all processes of tensors of one shape."""
        return values if self.processes == 1 else reduce(values, "sum")

    def gather(self, rows: Tensor, counts: list[int]) -> Tensor:
        """The rows of all processes, one process after the other: [sum of counts, …], from [counts[rank], …] here."""
        if self.processes == 1:
            return rows
        padded = rows.new_zeros(max(counts), *rows.shape[1:])
        padded[: len(rows)] = rows
        by_process = gather(padded.contiguous()).split(max(counts))
        return torch.cat([padded[:count] for padded, count in zip(by_process, counts, strict=True)])


def machine_of(config: Running) -> Machine:
    """The machine that the options ask for. Sets the threads, asks for deterministic kernels, joins other processes.

    Raises RequestError for a device, a number format or a compiler that is not there.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Otherwise every new tensor is filled with NaN first: a quarter of a forward pass's time, and no result changes.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    device = best_device() if config.device == "auto" else named_device(config.device)
    if config.compile and device.type == "cpu" and not shutil.which(os.environ.get("CXX", "g++")):
        raise RequestError("--compile needs a C++ compiler, and none is here.", "install g++, or leave it out")
    workers = config.workers
    if workers is None:
        workers = 0 if device.type == "cpu" else min(8, os.cpu_count() or 1)
    precision = precision_on(device, config.precision)
    if device.type == "cpu":
        keep_memory()
    if process_count() > 1:
        join_processes(device)
    return Machine(device, precision, workers, config.compile, process_index(), process_count())


def keep_memory() -> None:
    """Have glibc keep freed memory for the next batch; returned to the system and fetched again, page by page, it costs
    a third of a forward pass. Other C libraries are left as they are.
    """
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(M_MMAP_MAX, 0)  # large blocks too come from the heap …
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)  # … whose free end stays


def free_memory() -> None:
    """Return freed memory to the device and the system, after an allocation has failed."""
    gc.collect()  # an error's references
    clear_device_cache()
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def join_processes(device: torch.device) -> None:
    """Connect to the other processes that torchrun or accelerate has started."""
    if device.type == "cuda":
        torch.cuda.set_device(device)
    PartialState(cpu=device.type == "cpu")
    atexit.register(leave_processes)


def leave_processes() -> None:
    """Disconnect, so that no process waits for this one."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def best_device() -> torch.device:
    if torch.cuda.is_available():
        return torch.device("cuda", local_process_index() if process_count() > 1 else torch.cuda.current_device())
    return torch.device("mps" if torch.backends.mps.is_available() and process_count() == 1 else "cpu")


def named_device(name: str) -> torch.device:
    """The device of that name. Raises RequestError, listing the devices of this machine, where it is not one."""
    here = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    if torch.cuda.is_available():
        here.append("cuda")
    if torch.backends.mps.is_available():
        here.append("mps")
    if name not in here:
        raise RequestError(
            f"--device {name!r}{from_machine('device', name)} is not here.",
            f"this machine has {', '.join(here)}; auto takes the best",
        )
    if process_count() > 1 and name.startswith(("cuda:", "mps")):
        raise RequestError(
            f"--device {name}{from_machine('device', name)} is one device, and there are {process_count()} processes.",
            "--device cuda or cpu",
        )
    return best_device() if name == "cuda" else torch.device(name)


def precision_on(device: torch.device, precision: str) -> str:
    """The number format for an option's value; auto is bf16 on a GPU that has it, else fp32."""
    has_bf16 = device.type == "cpu" or (device.type == "cuda" and torch.cuda.is_bf16_supported())
    if precision == "auto":
        return "bf16" if device.type == "cuda" and has_bf16 else "fp32"
    if (precision == "bf16" and not has_bf16) or (precision == "fp16" and device.type == "cpu"):
        said = f"{precision}{from_machine('precision', precision)}"
        raise RequestError(f"--precision {said} does not work on {device.type}.", "take --precision auto or fp32")
    return precision
