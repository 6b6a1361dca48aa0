"""summary.json holds what docs/report.md says, and its reproducible part depends on the run alone."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mpidcl.errors import RunFolderError
from mpidcl.record.folder import SUMMARY_FORMAT, read_summary
from mpidcl.record.records import AgentRecord, Evaluation
from mpidcl.record.sealed import write_sealed
from mpidcl.views.modules.counts import decisions, shares
from mpidcl.views.summary import SINCE_BASELINES, check_summary, reproducible, run_digest, summarise


def test_keys_are_those_of_the_design(synthetic: SimpleNamespace) -> None:
    summary = summarise(synthetic.records())
    assert set(summary) == {
        "format", "agents", "digest", "metrics", "communication", "training_floats", "time", "memory",
        "flops",
    }  # fmt: skip
    assert {
        "average_accuracy",
        "final_accuracy",
        "forgetting",
        "backward_transfer",
        "forward_transfer",
    } <= set(summary["metrics"])
    assert set(summary["communication"]) == {
        "frames", "payload_bytes", "wire_bytes", "paper_floats", "simulated_s", "by_exchange",
    }  # fmt: skip
    assert set(summary["time"]) == {
        "wall_s", "cpu_s", "start_s", "learn_s", "meet_s", "wait_s", "evaluate_s", "checkpoint_s", "other_s",
    }  # fmt: skip


def test_traffic_is_summed_over_links_and_exchanges(synthetic: SimpleNamespace) -> None:
    records = synthetic.records()
    communication = summarise(records)["communication"]
    rows = [row for record in records for row in record.ledger]
    assert communication["wire_bytes"] == sum(row.payload_bytes + row.header_bytes for row in rows)
    assert communication["frames"] == 8 * 20
    (exchange,) = communication["by_exchange"]
    assert (exchange["exchange"], exchange["kind"]) == (0, "parameters")
    assert exchange["paper_floats"] == communication["paper_floats"] == 8 * 20 * 16_640


def test_wall_time_is_the_longest_and_cpu_time_the_sum(synthetic: SimpleNamespace) -> None:
    time = summarise(synthetic.records())["time"]
    assert time["wall_s"] == pytest.approx(12.3)
    assert time["cpu_s"] == pytest.approx(44.0)


def test_modules_are_counted_only_where_there_are_any(synthetic: SimpleNamespace) -> None:
    assert "modules" not in summarise(synthetic.records())
    records = synthetic.modular(candidates=2, tasks=7)
    summary = summarise(records)
    made = [decision for record in records for decision in decisions(record)]
    found = summary["modules"]
    assert found["by_agent"] == [shares(record).shape[1] for record in records]
    assert found["mean"] == pytest.approx(sum(found["by_agent"]) / 4)
    assert found["first"] == [4, 4, 4, 4]
    assert found["candidates"] == len(made) == 4 * 6 * 2
    assert found["kept"] == sum(found["by_agent"]) - 16 > 0
    assert 0 < found["received_kept"] < found["received"]
    assert found["kept_gain"] == pytest.approx(0.06)
    assert reproducible(summary)["modules"] == found


def test_training_floats_are_summed(synthetic: SimpleNamespace) -> None:
    assert summarise(synthetic.modular(tasks=5))["training_floats"] == 4 * 5 * 128 * 784


def test_order_of_records_does_not_matter(synthetic: SimpleNamespace) -> None:
    records = synthetic.records()
    assert summarise(records[::-1]) == summarise(records)


def test_agents_with_different_numbers_of_tasks_count_alike() -> None:
    """Per agent first: 0.5 and mean(0.7, 0.9) average to 0.65, not to 0.7."""
    records = [
        AgentRecord(0, evaluations=[Evaluation(0, 5, {"accuracy": (0.5,)})]),
        AgentRecord(
            1,
            evaluations=[Evaluation(0, 5, {"accuracy": (0.7,)}), Evaluation(1, 9, {"accuracy": (0.5, 0.9)})],
        ),
    ]
    metrics = summarise(records)["metrics"]
    assert metrics["final_accuracy"] == pytest.approx(0.6)
    assert metrics["average_accuracy"] == pytest.approx(0.6)
    assert metrics["by_agent"]["forward_transfer"] == [None, None]
    assert metrics["forward_transfer"] is None


def test_digest_depends_on_every_agent_and_on_their_order() -> None:
    def digest(*found: str) -> str:
        return run_digest([AgentRecord(agent, digest=text) for agent, text in enumerate(found)])

    assert len({digest("a", "b"), digest("b", "a"), digest("a", "c")}) == 3


def test_reproducible_part_ignores_the_machine(synthetic: SimpleNamespace) -> None:
    slow = synthetic.records()
    for record in slow:
        record.timing = {name: 3 * value for name, value in record.timing.items()}
        record.peak_rss_bytes += 1
    first, second = summarise(synthetic.records()), summarise(slow)
    assert first != second
    assert reproducible(first) == reproducible(second)
    slow[1].digest = "other"
    assert reproducible(first) != reproducible(summarise(slow))


def test_round_trip_with_sorted_keys_and_no_nan(tmp_path: Path) -> None:
    summary = summarise([AgentRecord(0, evaluations=[Evaluation(0, 5, {"accuracy": (0.5,)})])])
    write_sealed(tmp_path / "summary.json", summary)
    text = (tmp_path / "summary.json").read_text()
    assert "NaN" not in text
    assert list(json.loads(text)) == sorted([*summary, "checksum"])
    assert read_summary(tmp_path / "summary.json") == summary


@pytest.mark.parametrize("text", ["", "{", "[1]", "[" * 100_000, "9" * 5000, "\ud800"])
def test_a_damaged_summary_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "summary.json").write_text(text, encoding="utf-8", errors="surrogatepass")
    with pytest.raises(RunFolderError, match=r"summary\.json"):
        read_summary(tmp_path / "summary.json")


def places(value: Any, key: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every key of a summary, at any depth."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, one in inner:
        yield (*key, name)
        yield from places(one, (*key, name))


def test_a_summary_without_one_of_its_keys_is_named_with_the_key(
    tmp_path: Path, synthetic: SimpleNamespace
) -> None:
    records = synthetic.records()
    whole = summarise(records)
    check_summary(tmp_path, whole, records)
    found = list(places(whole))
    assert len(found) > 60 and ("metrics", "final_accuracy") in found
    for *outer, last in found:
        for wrong in (None, {}, "text", math.inf, 1e300, -(10**400)):
            damaged = json.loads(json.dumps(whole))
            place = damaged
            for name in outer:
                place = place[name]
            if wrong is None:
                del place[last]
                if last in ("format", *SINCE_BASELINES):
                    check_summary(tmp_path, damaged, records)
                    continue
            elif type(wrong) is type(place[last]) is not float:
                continue
            else:
                place[last] = wrong
            with pytest.raises(RunFolderError) as caught:
                check_summary(tmp_path / "summary.json", damaged, records)
            key = ".".join(
                map(str, (*outer, last) if isinstance(place, dict) or wrong is not None else outer)
            )
            assert f"summary.json` should hold the summary of the run: `{key}`" in str(caught.value)


def test_a_summary_of_version_1_has_fewer_keys_and_no_other_version_is_read(
    tmp_path: Path, synthetic: SimpleNamespace
) -> None:
    records = synthetic.records()
    old = summarise(records)
    del old["format"], old["time"]["start_s"], old["time"]["other_s"], old["metrics"]["standard_error_over"]
    check_summary(tmp_path, old, records)
    with pytest.raises(RunFolderError, match="`metrics.standard_error_over` is missing"):
        check_summary(tmp_path, {**old, "format": SUMMARY_FORMAT}, records)
    write_sealed(tmp_path / "summary.json", {**old, "format": "mpidcl summary 3"})
    with pytest.raises(RunFolderError, match="format 'mpidcl summary 2'. Found 'mpidcl summary 3'"):
        read_summary(tmp_path / "summary.json")
