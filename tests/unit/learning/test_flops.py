"""Counting operations changes no result: a resumed run counts, and so rounds, at another evaluation."""

from __future__ import annotations

import torch
from learning_fakes import model, shape

from mpidcl.learning.flops import FlopMeter


def test_outputs_are_the_same_bits_while_they_are_counted():
    nets = {
        "cnn": ({"channels": [4, 6], "dropout": 0.0}, shape((1, 16, 16), 1, 3)),
        "resnet18": ({"width": 2}, shape((1, 16, 16), 1, 3)),
        "ptychonn": ({"width": 2, "init": "he-normal", "batch_norm": True}, shape((1, 16, 16), 1, 512)),
    }
    x = torch.rand(5, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    for kind, (options, where) in nets.items():
        net = model(kind, options, where).eval()
        with torch.inference_mode():
            plain = net.outputs_of(net.encode_rows(x, 0), 0)
            meter = FlopMeter()
            with meter.work("test"):
                counted = net.outputs_of(net.encode_rows(x, 0), 0)
        assert meter.total > 0 and torch.equal(plain, counted), kind
