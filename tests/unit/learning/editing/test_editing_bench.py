"""`mpidcl bench editing`: both contestants follow one rule, and a row says what a reader compares."""

from __future__ import annotations

import json

import pytest
import torch

from mpidcl.benchmarks import editing_batch
from mpidcl.benchmarks.devices import choose
from mpidcl.cli import main
from mpidcl.learning.editing.align import Align

TINY = {
    "MLP": ('model = {kind = "mlp", hidden = [8], dropout = 0.0}', (1, 6, 6), 4),
    "CNN": ('model = {kind = "cnn", channels = [4], dropout = 0.0}', (3, 8, 8), 4),
}


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setattr(editing_batch, "NETS", TINY)


@pytest.mark.parametrize("net", TINY)
def test_the_rival_edits_the_same_pixels_alike(net, tiny):
    bench = choose("cpu")
    model, shape, classes = TINY[net]
    net_of = editing_batch._net(model, shape, classes, bench)
    moment = editing_batch._moment(net_of, shape, classes, bench)
    contestant = editing_batch.Ours(moment, moment.direction.clone(), Align(Align.Options(lr=100.0)))
    assert not contestant.recorded().empty
    ours = contestant.edit()
    theirs = editing_batch.Rival(moment, net_of, lr=100.0).edit()
    assert net_of.training
    assert moment.pattern is not None and not moment.pattern.empty
    assert (ours - moment.x).abs().max() > 1e-3
    assert torch.equal(contestant.out, moment.memory_gradient)
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_the_command_prints_and_appends(tiny, tmp_path, capsys):
    out = tmp_path / "lines"
    with pytest.raises(SystemExit) as end:
        main(["bench", "editing", "--rounds", "1", "--json", str(out)])
    said = capsys.readouterr().out
    assert end.value.code == 0, said
    rows = [json.loads(text) for text in out.read_text().splitlines()]
    assert [row["net"] for row in rows] == list(TINY)
    for row in rows:
        assert row["difference"] < 1e-3
        assert row["ratio"] == pytest.approx(row["double_backward_s"] / row["edit_s"])
        assert row["recording_s"] < row["double_backward_s"]
        assert row["net"] in said
    table = editing_batch.markdown(rows)
    assert len(table) == 4
    assert all(text.count("|") == len(editing_batch.COLUMNS) + 1 for text in table)
