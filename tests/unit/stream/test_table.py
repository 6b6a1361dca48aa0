"""Tables: what is read, how columns become features, whose rows are whose, and what tests never give away."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from regression_fakes import experiment_of, stream_of

from mpidcl.errors import DataError, ExperimentError
from mpidcl.experiment.part import Use
from mpidcl.experiment.reading import from_toml
from mpidcl.run.preview import check
from mpidcl.stream.regression.table.dealing import groups_in
from mpidcl.stream.regression.table.options import TableOptions
from mpidcl.stream.regression.table.reading import AT_ONCE, Table, read_table
from mpidcl.stream.regression.table.stream import TableStream
from mpidcl.testing import check_stream

Write = Callable[[str], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file and gives its path."""

    def written(text: str, name: str = "t.csv") -> str:
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return written


def read(path: str | dict[str, str], target: str = "y", **options: Any) -> Table:
    return read_table(TableOptions(files=path, target=target, **options))


def stream(path: Any, groups: Any, agents: int, agent: int = 0, seed: int = 0, **options: Any) -> TableStream:
    given = {"target": "y", **options}
    found = stream_of(experiment_of("table", groups, agents, seed, files=path, **given), agent)
    assert isinstance(found, TableStream)
    return found


def numbered(rows: int, groups: str = "ab") -> str:
    """Rows whose y is their number: which is where can be seen."""
    text = [f"{n * n},{groups[n % len(groups)]},{'yes' if n % 3 else 'no'},{n}" for n in range(rows)]
    return "\n".join(["x,g,said,y", *text, ""])


# --- reading ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("separator", [";", ",", "\t"])
def test_the_separator_is_found_in_the_first_line(write: Write, separator: str) -> None:
    text = 'name;"x";y\n"a b";1.5;2\n c ;-1e3;3\n'.replace(";", separator)
    table = read(write(text))
    assert table.rows == 2
    assert table.doubles("x").tolist() == [1.5, -1000]
    assert table.texts("name").levels == ("a b", "c")


def test_a_separator_may_be_given(write: Write) -> None:
    assert read(write("x|y,z\n1|2\n"), "y,z", separator="|").doubles("y,z").tolist() == [2]
    with pytest.raises(DataError, match="line 1: should name two columns or more, with ';' between them"):
        read(write("x,y\n1,2\n"), separator=";")


def test_quotes_hold_separators_and_ends_of_lines(write: Write) -> None:
    table = read(write('x,y\n"a,\n""b""",1\n\nc,2\n'))
    assert table.texts("x").levels == ('a,\n"b"', "c")
    assert table.rows == 2


def test_a_column_is_of_texts_if_a_late_field_is_one(write: Write) -> None:
    rows = [f"{n % 7},{n}" for n in range(AT_ONCE + 3)]
    table = read(write("\n".join(["x,y", *rows, "seven,1"])))
    assert table.texts("x").levels == ("0", "1", "2", "3", "4", "5", "6", "seven")
    assert table.rows == AT_ONCE + 4
    np.testing.assert_array_equal(table.doubles("y")[:-1], np.arange(AT_ONCE + 3))
    assert table.texts("x").codes[[6, 7, -1]].tolist() == [6, 0, 7]


def test_digits_with_underscores_are_no_numbers(write: Write) -> None:
    assert read(write("x,y\n1_0,2\n2,3\n")).texts("x").levels == ("1_0", "2")


def test_numbers_may_be_categories(write: Write) -> None:
    assert read(write("x,y\n3,1\n1,2\n"), categorical=("x",)).texts("x").levels == ("3", "1")


@pytest.mark.parametrize("gap", ["", "NA", "nan", "?", "inf", "-Infinity", "1e999"])
def test_a_missing_number_is_refused_or_left_out(write: Write, gap: str) -> None:
    path = write(f"x,z,y\n1,a,1\n{gap},b,2\n3,c,3\n")
    with pytest.raises(
        DataError, match=rf"t.csv, line 3: the column `x` should have a finite .* Found '{gap and '.'}"
    ):
        read(path)
    table = read(path, bad_rows="skip")
    assert (table.rows, table.skipped) == (2, 1)
    assert table.doubles("x").tolist() == [1, 3] and table.texts("z").codes.tolist() == [0, 2]
    assert read(path, drop=("x",)).rows == 3


def test_a_row_of_another_length_is_refused_or_left_out(write: Write) -> None:
    path = write("x,y\n1,2\n1,2,3\n4,5\n")
    with pytest.raises(DataError, match="t.csv, line 3: should have 2 fields, as the first line. Found 3"):
        read(path)
    table = read(path, bad_rows="skip")
    assert (table.rows, table.skipped) == (2, 1)


def test_a_row_without_a_group_is_refused(write: Write) -> None:
    with pytest.raises(
        DataError, match="line 3: the column `g` should have .* the name of a group. Found ' '"
    ):
        read(write("g,x,y\na,1,1\n ,2,2\n"), group=("g",))


def test_several_files_have_a_column_of_their_names(write: Any) -> None:
    paths = {"one": write("x,y\n1,2\n", "1.csv"), "two": write("y;x\n4;3\n5;6\n", "2.csv")}
    table = read(paths)
    assert table.doubles("x").tolist() == [1, 3, 6] and table.doubles("y").tolist() == [2, 4, 5]
    assert table.texts("file").levels == ("one", "two") and table.texts("file").codes.tolist() == [0, 1, 1]
    assert "file" not in read(paths, drop=("file",)).columns
    assert "file" not in read(paths["one"]).columns
    with pytest.raises(DataError, match="2.csv: should have the column `z`, as the file before"):
        read({"one": write("x,y,z\n1,2,3\n", "1.csv"), "two": paths["two"]})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "line 1: should name two columns or more"),
        ("x,x,y\n1,2,3\n", "should name each column once. Found `x` more"),
        ('x,y\n"1,2\n3,4\n', "quotes in pairs. Found: unexpected end of data"),
        ("x,y\n1\0,2\n", "should be a text. Found a byte that is 0"),
        (
            "x,y\n1,two\n",
            "line 2: the column `y` should hold numbers, since it is `stream.target`. Found 'two'",
        ),
        (
            "x,y\n" + "".join(f"a{n},{n}\n" for n in range(101)),
            "column `x` should hold numbers, or at most 100",
        ),
    ],
)
def test_what_is_no_table_is_said(write: Write, text: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        read(write(text))


@pytest.mark.parametrize(
    ("rows", "says"),
    [("", "Found none\\."), (",1\n", "Found none and 1 that are left out, since they lack something\\.")],
)
def test_a_table_without_rows_is_refused(write: Write, rows: str, says: str) -> None:
    with pytest.raises(DataError, match=f"should have rows under its first line. {says}"):
        read(write("x,y\n" + rows), bad_rows="skip")


def test_a_row_for_tests_that_would_overflow_is_named(write: Write) -> None:
    text = numbered(20)
    share = stream(write(text), 2, 2)._prepared.shares[0]
    rows = text.split("\n")
    rows[1 + share.test[0]] = "1e200" + rows[1 + share.test[0]][rows[1 + share.test[0]].index(",") :]
    with pytest.raises(DataError, match=r"column `x` .* no value further than 1e\+100 .* in a row for tests"):
        stream(write("\n".join(rows)), 2, 2).task(0)


def test_a_mistyped_number_is_named_where_it_makes_too_many_levels(write: Write) -> None:
    rows = "".join(f"{n},{n}\n" for n in range(200))
    with pytest.raises(DataError, match="'1O' in .*t.csv, line 202 is no number"):
        read(write(f"x,y\n{rows}1O,3\n"))


def test_what_is_no_text_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"x,y\n\xff\xfe,1\n")
    with pytest.raises(DataError, match="t.csv cannot be read as a table: it is not a text in UTF-8"):
        read(str(tmp_path / "t.csv"))
    with pytest.raises(DataError, match="it is a folder, and should be a file"):
        read(str(tmp_path))
    with pytest.raises(DataError, match="There is no file .*gone.csv. Should be the path of a CSV file"):
        read(str(tmp_path / "gone.csv"))
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbfx,y\r\n1,2\r\n")
    assert read(str(tmp_path / "t.csv")).doubles("x").tolist() == [1]


@pytest.mark.parametrize("key", ["target", "group", "drop", "categorical"])
def test_a_column_that_is_not_there_is_said(write: Write, key: str) -> None:
    given = {"target": "y", key: "gone" if key == "target" else ("gone",)}
    with pytest.raises(
        ExperimentError, match=rf"`stream.{key}` should name columns of .*: x, y. Found `gone`"
    ):
        read(write("x,y\n1,2\n"), **given)


# --- groups, tests and shares -----------------------------------------------------------------------


def test_groups_are_the_sorted_combinations(write: Write) -> None:
    table = read(write("a,b,y\nv,10,1\nu,10,2\nv,9,3\nv,10,4\n"), group=("a", "b"))
    names, rows = groups_in(table, ("a", "b"))
    assert names == ["u 10", "v 9", "v 10"]
    assert [part.tolist() for part in rows] == [[1], [2], [0, 3]]
    assert groups_in(table, ())[0] == ["all rows"]


def test_every_row_is_a_test_row_or_that_of_one_agent(write: Write) -> None:
    path = write(numbered(40))
    seen: dict[int, list[float]] = {0: [], 1: []}
    tests = []
    for agent in range(5):
        made = stream(path, [2, 3], 5, agent, group="g", standardise_target=False, bias=False)
        task = made.task(0)
        mine = {float(value) for number in range(2) for value in task.block(number)[1]}
        assert task.group == (agent > 1) and mine.isdisjoint(task.test_y.tolist())
        seen[task.group] += mine
        tests.append(task.test_y.tolist())
    assert tests[0] == tests[1] and tests[2] == tests[3] == tests[4] and len(tests[0]) == 4
    for group, test in ((0, tests[0]), (1, tests[4])):
        assert sorted(seen[group] + test) == list(range(group, 40, 2))


def test_a_pass_has_each_row_once_in_an_order_of_its_own(write: Write) -> None:
    made = stream(write(numbered(250, "a")), 1, 1, standardise_target=False, test_share=0.2)
    y = np.concatenate([made.task(0).block(number)[1] for number in range(3)])
    passes = [y[start : start + 200].tolist() for start in range(0, 1400, 200)]
    assert all(sorted(one) == sorted(passes[0]) for one in passes)
    assert len({tuple(one) for one in passes}) == 7


def test_blocks_come_in_any_order_and_differ_by_seed(write: Write) -> None:
    path = write(numbered(30))
    one, other, third = (stream(path, [1, 1], 2, 1, seed, group="g").task(0) for seed in (0, 0, 1))
    wanted = [one.block(number) for number in range(3)]
    for number in (2, 0, 1):
        assert all(map(np.array_equal, wanted[number], other.block(number)))
    assert not np.array_equal(one.test_y, third.test_y)


def test_check_lists_the_groups_of_a_table_by_name(write: Write) -> None:
    file = "name = 't'\nagents = 4\nlearning = {kind = 'linear', lr = 0.01}\n"
    file += "network = {topology = 'groups', groups = {of = 2}}\n"
    table = f"stream = {{kind = 'table', files = '{write(numbered(40))}', target = 'y', group = ['g']}}\n"
    lines = check(from_toml(file + table)).splitlines()
    place = lines.index("# groups")
    assert lines[place + 1].startswith("2 groups, 4 agents; each agent learns a linear model of 3 numbers.")
    assert lines[place + 2 : place + 5] == ["group 0: a", "group 1: b", ""]


def test_wrong_numbers_of_groups_and_rows_are_said(write: Write) -> None:
    path = write(numbered(40))
    with pytest.raises(
        ExperimentError, match=r"should give 3 groups.* Found 2: a \(20 rows\), b \(20 rows\)"
    ):
        _ = stream(path, 1, 3, group="g").shape
    with pytest.raises(
        ExperimentError, match=r"Group 1 \(b\) should have .* each of its 17 agents. Found 16 of 20"
    ):
        _ = stream(path, [1, 17], 18, group="g").shape


# --- features ---------------------------------------------------------------------------------------


def test_features_are_those_of_the_columns(write: Write) -> None:
    text = "n,c,s,k,same,y\n" + "".join(
        f"{n},{'uvw'[n % 3]},{('No', 'yes')[n % 2]},{n % 2},7,{2 * n}\n" for n in range(12)
    )
    made = stream(write(text), 1, 1, test_share=0.0, categorical=["k"])
    assert made.features == ("n", "c=u", "c=v", "c=w", "s", "k=0", "k=1", "bias")
    assert made.shape.input_shape == (8,)
    x, y = (part[:12] for part in made.task(0).block(0))
    order = np.argsort(y)
    n = np.arange(12)
    np.testing.assert_allclose(x[order, 0], (n - 5.5) / n.std())
    np.testing.assert_allclose(y[order], (n - 5.5) / n.std())
    assert np.array_equal(x[order, 1:4], np.eye(3)[n % 3])
    assert np.array_equal(x[order, 4], np.where(n % 2, 1, -1))
    assert np.array_equal(x[order, 5:7], np.eye(2)[n % 2])
    assert (x[:, 7] == 1).all()
    plain = stream(write(text), 1, 1, test_share=0.0, bias=False, standardise_target=False)
    assert plain.features[-1] == "k" and set(plain.task(0).block(0)[1]) == set(2.0 * n)


def test_the_training_rows_of_all_groups_have_mean_0_and_deviation_1(write: Write) -> None:
    path = write(numbered(50))
    made = [stream(path, [1, 1], 2, agent, group="g").task(0) for agent in range(2)]
    parts = [[task.block(0)[place][:20] for task in made] for place in (0, 1)]
    x, y = (np.concatenate(part) for part in parts)
    for column in (x[:, 0], y):
        assert abs(column.mean()) < 1e-12 and column.std() == pytest.approx(1)
    assert abs(parts[1][0].mean()) > 1e-3


def test_nothing_of_a_test_row_is_in_what_is_learned(write: Write) -> None:
    """Other numbers and levels in test rows change no training row, and no feature."""
    lines = numbered(40).splitlines()
    plain = stream(write("\n".join(lines)), 1, 1, standardise_target=False)
    tests = plain.task(0).test_y.astype(int).tolist()
    want, kept = plain.task(0).block(0), plain.features
    for row in tests:
        lines[row + 1] = f"{10**9 + row},b,perhaps,{row}"
    other = stream(write("\n".join(lines)), 1, 1, standardise_target=False)
    assert other.features == kept
    assert all(map(np.array_equal, want, other.task(0).block(0)))
    assert (other.task(0).test_x[:, 0] > 1e4).all()
    said = kept.index("said")
    assert (other.task(0).test_x[:, said] == 0).all()


def test_a_level_of_test_rows_alone_is_zero_everywhere(write: Write) -> None:
    lines = ["c,y"] + [f"{'uv'[n % 2]},{n}" for n in range(20)]
    tests = stream(write("\n".join(lines)), 1, 1, standardise_target=False).task(0).test_y.astype(int)
    for row in tests:
        lines[row + 1] = f"new,{row}"
    made = stream(write("\n".join(lines)), 1, 1)
    assert made.features == ("c=u", "c=v", "bias")
    assert np.array_equal(made.task(0).test_x, [[0, 0, 1]] * len(tests))


def test_what_cannot_be_learned_is_said(write: Write) -> None:
    with pytest.raises(DataError, match="column `y` should not be constant"):
        _ = stream(write("x,y\n1,2\n2,2\n"), 1, 1, test_share=0.0).shape
    with pytest.raises(DataError, match="has no feature: all columns that are left are constant"):
        _ = stream(write("x,y\n1,2\n1,3\n"), 1, 1, test_share=0.0, bias=False).shape
    with pytest.raises(DataError, match="column `x` should have a finite mean and deviation"):
        _ = stream(write("x,y\n1e308,2\n-1e308,3\n1.5e308,3\n"), 1, 1, test_share=0.0).shape


# --- the run ----------------------------------------------------------------------------------------


def test_a_run_is_bound_to_the_bytes_of_its_files(write: Any, tmp_path: Path) -> None:
    path = write(numbered(9))
    options = TableOptions(files={"a": path}, target="y")
    source = TableStream.data_set(experiment_of("table", 1, 1, files={"a": path}, target="y"), 0)
    first = source.fingerprint()
    assert source.here() and source.label(defaults=True) == "table a=t.csv" and path in source.origin()
    moved = tmp_path / "other"
    moved.mkdir()
    (moved / "t.csv").write_text(numbered(9))
    make = type(source)
    assert make(options.model_copy(update={"files": {"a": str(moved / "t.csv")}})).fingerprint() == first
    assert make(options.model_copy(update={"files": {"b": path}})).fingerprint() != first
    write(numbered(9).replace("no", "na"))
    assert source.fingerprint() != first
    Path(path).unlink()
    assert not source.here()
    with pytest.raises(DataError, match="There is no file"):
        source.fingerprint()


def test_a_file_that_has_changed_is_read_again(write: Write) -> None:
    assert stream(write(numbered(9)), [1, 1], 2, group="g").features == ("x", "said", "bias")
    assert stream(write(numbered(9).replace("said", "told")), [1, 1], 2, group="g").features[1] == "told"


def test_rows_that_are_left_out_are_noted(write: Write) -> None:
    experiment = experiment_of("table", 1, 1, files=write("x,y\n1,2\n,3\n2,4\n"), target="y", bad_rows="skip")
    use = Use(("stream",), experiment.stream.options, experiment, experiment)
    assert list(TableStream.notes(use)) == [
        "note: 1 rows of the table are left out, since they lack something"
    ]


def test_it_is_a_stream(write: Write) -> None:
    options = {"samples": 5, "files": write(numbered(20)), "target": "y", "group": ["g"]}
    tables = {"agents": 2, "stream": options, "learning": {"kind": "regression_fakes:Watcher"}}
    assert not TableStream.knows_truth
    check_stream(TableStream, tables)


def test_options_that_do_not_fit_are_said(write: Write) -> None:
    file = 'name = "x"\nagents = 1\nlearning.kind = "regression_fakes:Watcher"\nstream.kind = "table"\n'
    for keys, says in (
        ('stream.target = "y"', "stream.files: is missing"),
        ('stream.target = "y"\nstream.files = {}', "stream.files: should be a path, such as"),
        ('stream.target = "y"\nstream.files = "a"\nstream.drop = ["y"]', "should name a column once"),
        ('stream.target = "file"\nstream.files = {a = "b"}', "should have another `target` than `file`"),
        ('stream.target = "y"\nstream.files = "a"\nstream.separator = "::"', "stream.separator: should "),
    ):
        with pytest.raises(ExperimentError) as caught:
            from_toml(file + keys)
        assert says in str(caught.value)
    fine = from_toml(file + 'stream.target = "y"\nstream.group = "g"\nstream.files = {a = "b"}')
    assert from_toml(fine.to_toml()) == fine and "dataset" not in fine.to_toml()


def test_the_first_numbers_are_what_they_were(write: Write) -> None:
    task = stream(write(numbered(60)), [2, 1], 3, 1, group="g").task(0)
    x, y = task.block(1)
    np.testing.assert_allclose([*x[0, :2], y[0], task.test_x[0, 0], task.test_y[-1]], PINNED, rtol=1e-9)


PINNED = [-0.6588369252321435, 1.0, -0.4741936531450693, -1.117542854475525, 1.4325117165691363]
