"""Files about links: what they say, and one clear error, with its place, for what they cannot."""

from __future__ import annotations

from math import inf

import pytest
from network_fakes import topology

from mpidcl.errors import ExperimentError
from mpidcl.network.frames.conditions import is_down
from mpidcl.network.schedule.link_files import read_changes
from mpidcl.network.schedule.topology import Link, Topology, disjoint


def written(tmp_path, text):
    path = tmp_path / "links.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def test_a_link_is_down_from_the_first_time_to_the_second():
    link = Link(0, 0, 1, down=((0.0, 1.0), (2.0, 3.5), (8.0, inf)))
    times = [0, 0.99, 1, 1.5, 2, 3.4, 3.5, 7.9, 8, 1e12]
    assert [is_down(link, time) for time in times] == [1, 1, 0, 0, 1, 1, 0, 0, 1, 1]
    assert not is_down(Link(0, 0, 1), 5.0)
    assert disjoint([(5, 6), (1, 2)], [(2, 3), (5.5, 5.7)], []) == ((1, 3), (5, 6))


# --- links that come and go ----------------------------------------------------------------------

HEAD = "source,target,from,until\n"


def test_the_topology_is_all_links_that_are_ever_there(tmp_path):
    lines = [
        "\ufeffuntil , source,target,from",
        "",
        "2 s,1,0,",
        ',1,0,"3500 ms"',
        ",0,1,",
        "5,2,1,4",
        "5.5,2,1,5",
    ]
    text = "\r\n".join(lines)
    path = written(tmp_path, text)
    assert read_changes(path, 3) == {(0, 1): (), (1, 0): ((2.0, 3.5),), (2, 1): ((0.0, 4.0), (5.5, inf))}
    rules = [{"class": "slow", "to": [1], "latency": "2 s", "down": [["5 s", "8 s"]]}]
    network = topology("file", 3, changes=path, link=rules)
    assert [(link.source, link.target, link.down) for link in network.links] == [
        (0, 1, ((5.0, 8.0),)),
        (1, 0, ((2.0, 3.5),)),
        (2, 1, ((0.0, 4.0), (5.0, inf))),
    ]
    assert [link.latency for link in network.links] == [2.0, 0.0, 2.0]
    assert network.links == Topology.of("file", 3, network.links).links


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "line 1: should name columns, source, target, from, until. Found no `source`."),
        (
            "source,target,from\n",
            "line 1: should name columns, source, target, from, until. Found no `until`.",
        ),
        ("source,target,from,until,loss\n", "from, until. Found 'loss'."),
        ("source,target,from,until,from\n", "from, until. Found `from` twice."),
        (HEAD + "0,1,2\n", "line 2: should have 4 fields, as the first line. Found 3."),
        (HEAD + '0,1,2,"3\n', "line 2: should be fields with commas between them, quotes in pairs."),
        (HEAD + "\n0,3,,\n", "line 3: `source` and `target` should be two agents, numbers from 0 to 2."),
        (HEAD + "1,1,,\n", "from 0 to 2. Found '1' and '1'."),
        (HEAD + "-1,1,,\n", "from 0 to 2. Found '-1' and '1'."),
        (
            HEAD + "0,1,soon,\n",
            'line 2: `from` should be a time such as "5 ms", "30 s" or "2 h". Found \'soon\'.',
        ),
        (HEAD + "0,1,,3 m\n", "line 2: `until` should be a time such as"),
        (HEAD + "0,1,3,3\n", "line 2: `from` should be before `until`. Found 3 s and 3 s."),
        (
            HEAD + "0,1,4,8\n1,0,,\n0,1,1,5\n",
            "line 2: should begin when the other interval of this link is over. Found 4 s, and",
        ),
        (HEAD + "0,1,,\n0,1,,\n", "should begin when the other interval of this link is over. Found 0 s"),
    ],
)
def test_what_changes_cannot_say(tmp_path, text, says):
    path = written(tmp_path, text)
    with pytest.raises(ExperimentError) as error:
        topology("file", 3, changes=path)
    assert says in str(error.value) and path in str(error.value)


def test_a_file_that_is_none(tmp_path):
    with pytest.raises(ExperimentError, match="changes /no/such could not be read: there is none"):
        topology("file", 3, changes="/no/such")
    with pytest.raises(ExperimentError, match="could not be read: it is not a text"):
        topology("file", 3, changes=written(tmp_path, b"source\xff"))
