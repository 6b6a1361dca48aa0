"""A language model learns four kinds of text, one after the other, with one replay buffer across all ranks.

    mpiexec -n 4 python -m mpi4py examples/replay/language_model.py
    mpiexec -n 4 python -m mpi4py examples/replay/language_model.py der        blocks with logits (DER++)
    mpiexec -n 4 python -m mpi4py examples/replay/language_model.py none       without replay
    mpiexec -n 4 python -m mpi4py examples/replay/language_model.py er 20 7    20 steps a text, seed 7

English, Python, C and a table of numbers, 119 KB each, come from packages that are installed anyway; tokens
are bytes. A row of the buffer is a block of tokens, the number of its text, the likeliest next tokens at each
place with their logits, and an embedding. At the end the same buffer is a retriever: which stored blocks are
nearest to a new one? `-m mpi4py` ends the whole job when one rank fails. See docs/replay.md.
"""

import argparse
import inspect
import math
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
import sklearn
import torch
from mpi4py import MPI
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

from mpidcl.replay import GlobalReplay

NAMES = ("English", "Python", "C", "numbers")
LENGTH, WIDTH, HEADS, LAYERS = 64, 64, 4, 2  # tokens of a block, and the size of the net
BATCH, LR, TOP, NEAREST = 8, 3e-3, 8, 5
COLUMNS = {
    "tokens": ("uint8", (LENGTH + 1,)),  # the net sees the first 64, and learns the last 64
    "domain": "int64",
    "logits": ("float16", (LENGTH, TOP)),  # the TOP largest, not all 256: 1.5 KB a block instead of 32
    "which": ("uint8", (LENGTH, TOP)),  # the tokens that they are of
    "embedding": ("float32", (WIDTH,)),
}
Blocks = NDArray[np.uint8]


def main(method: str, steps: int, seed: int) -> None:
    """Train; rank 0 prints how much of each text is known at the end, and what a search finds."""
    comm = MPI.COMM_WORLD
    torch.set_num_threads(1)
    torch.manual_seed(seed)  # the same first weights on every rank
    net = Decoder()
    optimizer = torch.optim.Adam(net.parameters(), LR)
    texts = [blocks(text) for text in (english(), python(), c(), numbers())]

    with GlobalReplay(
        comm, COLUMNS, "200 rows per class", BATCH,
        label="domain", classes=len(NAMES), edits=["embedding"], seed=seed,
    ) as replay:  # fmt: skip
        for tokens, domain in batches(texts, steps, comm, seed):
            old, count = replay.wait()  # drawn one step ago, from all ranks
            if method == "none":
                count = 0
            both = torch.from_numpy(np.concatenate([tokens, old["tokens"][:count]])).long()
            logits, embedding = net(both[:, :-1])
            best = logits[:BATCH].detach().log_softmax(-1).topk(TOP)  # [BATCH, LENGTH, TOP]
            replay.push(
                {
                    "tokens": tokens,
                    "domain": np.full(BATCH, domain),
                    "logits": best.values.half(),
                    "which": best.indices.byte(),
                    "embedding": embedding[:BATCH],
                },
                # an embedding grows old while the net learns: rows that were drawn get a new one in passing
                edits={"embedding": embedding[BATCH:]} if count else None,
            )
            loss = cross_entropy(logits.flatten(0, 1), both[:, 1:].flatten())  # rows travel from here on
            if count and method == "der":
                which = torch.from_numpy(old["which"]).long()
                again = logits[BATCH:].log_softmax(-1).gather(-1, which)
                loss = loss + 0.1 * mse_loss(again, torch.from_numpy(old["logits"]).float())
            step(net, optimizer, loss, comm)

        unseen = [text[::10] for text in texts]
        left = [bits_per_byte(net, text) for text in unseen]
        if comm.rank == 0:
            each = ", ".join(f"{name} {bits:.2f}" for name, bits in zip(NAMES, left, strict=True))
            print(f"{method}: {sum(left) / len(left):.2f} bits per byte ({each})")
        if method != "none":
            search(net, unseen, replay, comm)


class Decoder(nn.Module):
    """Tokens [n, LENGTH] to logits of the next ones [n, LENGTH, 256], and embeddings of blocks [n, WIDTH]."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Embedding(256, WIDTH)
        self.place = nn.Parameter(0.02 * torch.randn(LENGTH, WIDTH))
        layer = nn.TransformerEncoderLayer(
            WIDTH, HEADS, 4 * WIDTH, dropout=0.0, batch_first=True, norm_first=True
        )  # with a causal mask it is a decoder's
        self.layers = nn.TransformerEncoder(layer, LAYERS, nn.LayerNorm(WIDTH), enable_nested_tensor=False)
        self.next = nn.Linear(WIDTH, 256)
        self.mask = nn.Transformer.generate_square_subsequent_mask(LENGTH)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        hidden = self.layers(self.token(tokens) + self.place, mask=self.mask, is_causal=True)
        return self.next(hidden), hidden.detach().mean(1)


def step(net: nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor, comm: MPI.Intracomm) -> None:
    """One step along the mean gradient of all ranks; beside_ddp.py leaves that to torch."""
    parts = torch.autograd.grad(loss, list(net.parameters()))
    mean = torch.cat([part.flatten() for part in parts])
    comm.Allreduce(MPI.IN_PLACE, mean.numpy())
    mean /= comm.size
    sizes = [part.numel() for part in parts]
    for weight, part in zip(net.parameters(), mean.split(sizes), strict=True):
        weight.grad = part.view_as(weight)
    optimizer.step()


@torch.no_grad()
def bits_per_byte(net: nn.Module, text: Blocks) -> float:
    """Of the bytes of blocks [n, LENGTH + 1] that the net has not seen; 8 is no knowledge at all."""
    tokens = torch.from_numpy(text).long()
    logits, _ = net(tokens[:, :-1])
    return cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten()).item() / math.log(2)


@torch.no_grad()
def search(net: nn.Module, texts: list[Blocks], replay: GlobalReplay, comm: MPI.Intracomm) -> None:
    """Look for blocks like new ones in the shares of all ranks; every rank has queries of its own."""
    queries = np.concatenate([text[comm.rank :: comm.size] for text in texts])
    domain = np.repeat(range(len(texts)), [len(text[comm.rank :: comm.size]) for text in texts])
    _, embedding = net(torch.from_numpy(queries[:, :-1]).long())
    found = replay.nearest(embedding, NEAREST, "embedding")  # collective
    same = found.rows["domain"] == domain[:, None]  # [queries, NEAREST]
    shares = [100 * same[domain == number].mean() for number in range(len(texts))]
    if comm.rank == 0:
        each = ", ".join(f"{name} {share:.0f} %" for name, share in zip(NAMES, shares, strict=True))
        print(f"of the nearest stored blocks are of the same text ({100 // len(texts)} % by chance): {each}")
        for query in (0, len(queries) // 2):  # as examples
            block, owner = bytes(found.rows["tokens"][query, 0]), found.rank[query, 0]
            print(f"  nearest to {bytes(queries[query])!r}\n  on rank {owner}:  {block!r}")


def batches(texts: list[Blocks], steps: int, comm: MPI.Intracomm, seed: int) -> Iterator[tuple[Blocks, int]]:
    """Blocks [BATCH, LENGTH + 1] of this rank's part, text after text. Every tenth block is never learned."""
    rng = np.random.default_rng([seed, comm.rank])
    for domain, text in enumerate(texts):
        mine = text[np.arange(len(text)) % 10 > 0][comm.rank :: comm.size]
        for _ in range(steps):
            yield rng.choice(mine, BATCH), domain


def blocks(text: bytes) -> Blocks:
    """The first 119 KB as blocks [n, LENGTH + 1]."""
    count = 119_000 // (LENGTH + 1)
    return np.array(bytearray(text[: count * (LENGTH + 1)])).reshape(count, LENGTH + 1)


def english() -> bytes:
    """Pages of Python's help() about its own words."""
    return "\n".join(topics.values()).encode()


def python() -> bytes:
    """Two modules of the standard library."""
    return (inspect.getsource(argparse) + inspect.getsource(tarfile)).encode()


def c() -> bytes:
    """NumPy's headers."""
    return b"".join(path.read_bytes() for path in sorted(Path(np.get_include()).rglob("*.h")))


def numbers() -> bytes:
    """A table of scikit-learn: 30 measures of cells from each of 569 patients."""
    return (Path(sklearn.__file__).parent / "datasets" / "data" / "breast_cancer.csv").read_bytes()


if __name__ == "__main__":
    given = dict(enumerate(sys.argv[1:]))
    main(given.get(0, "er"), int(given.get(1, 75)), int(given.get(2, 0)))
