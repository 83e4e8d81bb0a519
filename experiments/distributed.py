"""Batch normalisation in two processes that talk to each other.

A job is a function that can be imported. `run_on_ranks` starts one process for each
rank, in which it is called; so it works from a notebook and from a test alike. The
processes talk over the loopback interface (PyTorch's gloo) and end with the job, or
when the time is over, or when one of them fails.
"""

import importlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

ROOT = Path(__file__).parents[1]


# Starting and ending processes


def run_on_ranks(job: str, *, world: int = 2, timeout: float = 120, **payload) -> list:
    """Call a function in several processes at once, and return what each returned.

    Parameters
    ----------
    job : str
        ``"module:function"``; called as ``function(rank, **payload)`` with a process
        group ready.
    world : int
        How many processes.
    timeout : float
        Seconds after which all of them are ended.
    **payload
        Arguments; whatever `torch.save` can write, tensors and plain containers.

    Raises
    ------
    RuntimeError
        If a process failed; its last words are in the message.
    TimeoutError
        If they were not done in time.
    """
    environment = dict(os.environ, OMP_NUM_THREADS="1", PYTHONPATH=str(ROOT))
    loopback = [name for _, name in socket.if_nameindex() if name.startswith("lo")]
    if loopback:
        environment["GLOO_SOCKET_IFNAME"] = loopback[0]
    with tempfile.TemporaryDirectory() as folder:
        torch.save(payload, Path(folder, "payload.pt"))
        command = [sys.executable, "-m", "experiments.distributed", job, folder]
        errors = [Path(folder, f"errors{rank}").open("w+") for rank in range(world)]
        ranks = [
            subprocess.Popen(
                [*command, str(rank), str(world), str(timeout)],
                env=environment,
                cwd=ROOT,
                stdout=file,
                stderr=file,
            )
            for rank, file in enumerate(errors)
        ]
        try:
            _wait(ranks, errors, timeout)
        finally:
            for process in ranks:
                process.kill()
                process.wait()
            for file in errors:
                file.close()
        return [torch.load(Path(folder, f"result{rank}.pt")) for rank in range(world)]


def _wait(ranks: Sequence[subprocess.Popen], errors: Sequence, timeout: float) -> None:
    end = time.monotonic() + timeout
    while any(process.poll() is None for process in ranks):
        # One that failed leaves the others waiting for it: do not wait for them.
        if any(process.poll() for process in ranks):
            break
        if time.monotonic() > end:
            raise TimeoutError(f"{len(ranks)} processes were not done in {timeout} s")
        time.sleep(0.02)
    for rank, (process, file) in enumerate(zip(ranks, errors, strict=True)):
        if process.poll():
            file.seek(0)
            raise RuntimeError(f"rank {rank} failed: {file.read()[-2000:]}")


def _work(job: str, folder: str, rank: int, world: int, timeout: float) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=Path(folder, "meeting").as_uri(),
        rank=rank,
        world_size=world,
        timeout=timedelta(seconds=timeout),
    )
    try:
        module, function = job.split(":")
        payload = torch.load(Path(folder, "payload.pt"))
        result = getattr(importlib.import_module(module), function)(rank, **payload)
        torch.save(result, Path(folder, f"result{rank}.pt"))
        dist.barrier()  # nobody leaves while another still needs an answer
    finally:
        dist.destroy_process_group()


# The layer


class Synchronised(torch.autograd.Function):
    """Normalise by the mean and the biased variance over all processes' batches.

    Forwards two messages, the count with the sums and then the sums of squared
    deviations from the *common* mean; backwards one, the two sums of the gradient. But:
    the gradients of gamma and beta are those of this process's examples; data-parallel
    training adds them up itself.
    """

    @staticmethod
    def forward(ctx, x, gamma, beta, eps, both_ways):
        """Return y, and the common mean, variance and count.

        Parameters
        ----------
        ctx
            Autograd's.
        x : torch.Tensor of shape (N, C, ...)
            This process's batch; N may differ between processes.
        gamma, beta : torch.Tensor of shape (C,)
            Scale and shift.
        eps : float
            Added to the variance.
        both_ways : bool
            Synchronise the backward pass, too; False is a mistake, to be measured.
        """
        axes = (0, *range(2, x.ndim))
        column = (1, -1, *(1 for _ in axes[1:]))
        count = x.new_tensor([x.numel() / x.shape[1]])
        sums = torch.cat([count, x.sum(axes)])
        dist.all_reduce(sums)
        count, mean = sums[0], sums[1:] / sums[0]
        deviations = x - mean.view(column)
        squares = deviations.square().sum(axes)
        dist.all_reduce(squares)
        var = squares / count
        inv_std = (var + eps).rsqrt()
        x_hat = deviations * inv_std.view(column)
        ctx.save_for_backward(x_hat, gamma, inv_std, count)
        ctx.axes, ctx.column, ctx.both_ways = axes, column, both_ways
        ctx.mark_non_differentiable(mean, var, count)
        return gamma.view(column) * x_hat + beta.view(column), mean, var, count

    @staticmethod
    def backward(ctx, dy, *_):
        """Return the gradients of x, gamma and beta."""
        x_hat, gamma, inv_std, count = ctx.saved_tensors
        axes, column = ctx.axes, ctx.column
        dgamma, dbeta = (dy * x_hat).sum(axes), dy.sum(axes)
        sums = torch.stack([dgamma, dbeta])
        if ctx.both_ways:
            dist.all_reduce(sums)
        else:
            count = dy.numel() / dy.shape[1]
        along, mean = (sums / count).view(2, *column).unbind()
        dx = (gamma * inv_std).view(column) * (dy - mean - x_hat * along)
        return dx, dgamma, dbeta, None, None


class SyncedBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch normalisation over the batches of all processes, on a CPU.

    What `torch.nn.SyncBatchNorm` does on GPUs. The running variance is the unbiased
    one, the momentum weighs the new value.
    """

    both_ways = True

    def _check_input_dim(self, x: Tensor) -> None:
        if x.ndim < 2:
            raise ValueError(f"x has {x.ndim} axes; expected (N, C) or more")

    def forward(self, x: Tensor) -> Tensor:
        """Normalise this process's batch."""
        if not self.training:
            return super().forward(x)
        y, mean, var, count = Synchronised.apply(
            x, self.weight, self.bias, self.eps, self.both_ways
        )
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(var * count / (count - 1), self.momentum)
            self.num_batches_tracked.add_(1)
        return y


# Jobs


def one_layer(
    rank: int, x: Sequence[Tensor], dy: Sequence[Tensor], state: dict
) -> dict:
    """Return forward and backward of one layer on this rank's part of a batch.

    Also, as "error", what PyTorch's own layer says to a tensor on a CPU, and, as
    "one way", the gradient of x if only the forward pass is synchronised.
    """
    result = {}
    for both_ways in (False, True):
        layer = SyncedBatchNorm(x[0].shape[1], dtype=x[0].dtype)
        layer.load_state_dict(state)
        layer.both_ways = both_ways
        part = x[rank].clone().requires_grad_()
        y = layer(part)
        y.backward(dy[rank])
        if not both_ways:
            result["one way"] = part.grad
    result |= {
        "y": y.detach(), "dx": part.grad, "dgamma": layer.weight.grad,
        "dbeta": layer.bias.grad, "running_mean": layer.running_mean,
        "running_var": layer.running_var,
    }  # fmt: skip
    try:
        nn.SyncBatchNorm(3)(torch.randn(4, 3))
        result["error"] = ""
    except (RuntimeError, ValueError) as error:
        result["error"] = f"{type(error).__name__}: {error}"
    return result


def layer_and_training(
    rank: int, layer: dict, trainings: Sequence[dict]
) -> tuple[dict, dict]:
    """Return what `one_layer` and some `training` return: one start for all."""
    results = {}
    for task in trainings:
        results |= training(rank, **task)
    return one_layer(rank, **layer), results


def network(seed: int, *, synced: bool = False) -> nn.Sequential:
    """Return a network of two hidden layers, normalised, for the digits."""
    torch.manual_seed(seed)
    norm = SyncedBatchNorm if synced else nn.BatchNorm1d
    layers: list[nn.Module] = []
    for inputs in (64, 50):
        layers += [nn.Linear(inputs, 50, bias=False), norm(50), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(50, 10))


def training(
    rank: int,
    x: Sequence[Tensor],
    y: Sequence[Tensor],
    seeds: Sequence[int],
    *,
    ways: Sequence[tuple[bool, bool]],
    steps: int,
    rate: float,
    batch: int,
) -> dict:
    """Train `network` on both ranks, each with examples of its own.

    Parameters
    ----------
    rank : int
        Which process this is.
    x, y : sequence of torch.Tensor
        The examples of each rank.
    seeds : sequence of int
        Of the weights and of the order.
    ways : sequence of (bool, bool)
        Whether statistics are synchronised, and whether DistributedDataParallel sends
        out rank 0's buffers before each step.
    steps, rate, batch
        Of plain gradient descent; `batch` examples on each rank.

    Returns
    -------
    dict
        For each way and seed ``(synced, broadcast, seed)``: the "state" at the end and
        the gradient of the first step, flat.
    """
    results = {}
    for synced, broadcast in ways:
        for seed in seeds:
            model = DistributedDataParallel(
                network(seed, synced=synced), broadcast_buffers=broadcast
            )
            first = None
            for part in order(len(x[rank]), batch, steps, seed):
                cross_entropy(model(x[rank][part]), y[rank][part]).backward()
                if first is None:
                    first = flat_gradient(model)
                descend(model, rate)
            state = model.module.state_dict()
            results[synced, broadcast, seed] = {"state": state, "gradient": first}
    return results


def together(
    x: Sequence[Tensor], y: Sequence[Tensor], seed: int, *, steps, rate, batch
) -> dict:
    """Train on the same examples as `training`, in this process, in whole batches."""
    model = network(seed)
    parts = [order(len(each), batch, steps, seed) for each in x]
    first = None
    for both in zip(*parts, strict=True):
        here = torch.cat([each[part] for each, part in zip(x, both, strict=True)])
        labels = torch.cat([each[part] for each, part in zip(y, both, strict=True)])
        cross_entropy(model(here), labels).backward()
        if first is None:
            first = flat_gradient(model)
        descend(model, rate)
    return {"state": model.state_dict(), "gradient": first}


@torch.no_grad()
def descend(model: nn.Module, rate: float) -> None:
    """Take a step of gradient descent, and forget the gradients.

    As torch.optim.SGD does, whose import takes seconds, in each process.
    """
    for p in model.parameters():
        p.sub_(p.grad, alpha=rate)
        p.grad = None


def order(count: int, batch: int, steps: int, seed: int) -> list[Tensor]:
    """Return the examples of each step, drawn without replacement within a step."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randperm(count, generator=generator)[:batch] for _ in range(steps)]


def flat_gradient(model: nn.Module) -> Tensor:
    """Return all gradients in one vector."""
    return torch.cat([p.grad.flatten() for p in model.parameters()])


if __name__ == "__main__":
    _work(*sys.argv[1:3], int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5]))
