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


# --- conditions ----------------------------------------------------------------------------------

LINES = "source,target,loss,latency,bandwidth,burst,jitter\n"


def conditions(tmp_path, text, link=(), **others):
    path = written(tmp_path, text)
    return topology("ring", 3, conditions={"file": path, **others}, link=[*link])


def test_what_a_file_says_of_a_link_holds_and_the_rest_is_as_it_was(tmp_path):
    text = LINES + "0,1,10 %,20 ms,10 MB/s,4,\n2,0,,3,,,1 s\n"
    rules = [{"class": "slow", "from": [0], "latency": "9 s", "jitter": "2 s", "budget": 4096}]
    network = conditions(tmp_path, text, rules, latency="1 s", loss="1 %", line="agent")
    found = {(link.source, link.target): link for link in network.links}
    assert found[0, 1].settings == (("slow",), 4096, 0.02, 1e7, 2.0, 0.1, 4.0, True, ())
    assert found[0, 2].settings == (("slow",), 4096, 9.0, None, 2.0, 0.01, None, True, ())
    assert (found[2, 0].latency, found[2, 0].jitter, found[2, 0].loss) == (3.0, 1.0, 0.01)
    assert found[1, 2].latency == 1.0 and network.count("slow") == 2
    assert network.users(0, "slow") == [1, 2]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "",
            "line 1: should name columns, source, target and some of latency, bandwidth, jitter, loss",
        ),
        ("source,target\n", "and some of latency, bandwidth, jitter, loss, burst. Found no `latency`."),
        ("source,target,delay\n", "and some of latency, bandwidth, jitter, loss, burst. Found 'delay'."),
        ("source,loss\n", "Found no `target`."),
        (LINES + "0,1,,,,,\n1,0,2,,,,\n", "line 3: `loss` should be a share such as 0.1"),
        (LINES + "0,1,,20 m,,,\n", "line 2: `latency` should be a time such as"),
        (LINES + "0,1,,-1,,,\n", "line 2: `latency` should be a time such as"),
        (LINES + "0,1,,,10 MB,,\n", "line 2: `bandwidth` should be a bandwidth such as"),
        (LINES + "0,1,,,,0.5,\n", "`burst` should be a mean number of frames from 1 to 1000. Found '0.5'."),
        (LINES + "0,1,,,,nan,\n", "`burst` should be a mean number of frames from 1 to 1000. Found 'nan'."),
        (LINES + "0,1,90 %,,,2,\n", "line 2: `burst` should be at least 9 where the share 0.9 of all frames"),
        (
            LINES + "0,1,,1,,,\n1,0,,1,,,\n0,1,,2,,,\n",
            "line 4: should be the only one about link 0 -> 1.",
        ),
        (LINES + "0,3,,1,,,\n", "should be two agents, numbers from 0 to 2. Found '0' and '3'."),
    ],
)
def test_what_conditions_cannot_say(tmp_path, text, says):
    with pytest.raises(ExperimentError) as error:
        conditions(tmp_path, text)
    assert says in str(error.value) and str(tmp_path) in str(error.value)


def test_a_link_that_the_topology_does_not_have(tmp_path):
    path = written(tmp_path, "source,target,loss\n0,1,0.5\n0,2,0.5\n")
    with pytest.raises(ExperimentError, match="line 3: should be about a link of the topology. Found 0 -> 2"):
        topology("line", 3, conditions={"file": path})
    with pytest.raises(ExperimentError, match="line 2: should be about a link of the topology. Found 0 -> 1"):
        topology(
            "file", 3, changes=written(tmp_path, HEAD + "1,0,,\n"), conditions={"file": path_of(tmp_path)}
        )


def path_of(tmp_path):
    path = tmp_path / "conditions.csv"
    path.write_text("source,target,loss\n0,1,0.5\n")
    return str(path)


def test_bursts_are_compared_with_the_loss_that_holds(tmp_path):
    text = "source,target,burst\n0,1,2\n"
    with pytest.raises(ExperimentError, match="`burst` should be at least 4 where the share 0.8"):
        conditions(tmp_path, text, loss="80 %")
    assert conditions(tmp_path, text, loss="50 %").outgoing(0)[1].burst == 2.0
