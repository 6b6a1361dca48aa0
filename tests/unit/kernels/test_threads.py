"""Pieces are covered once by any number of threads, and an error in one of them is not lost."""

import multiprocessing
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from mpidcl_kernels.base import threads


@pytest.fixture(autouse=True)
def restore():
    before = list(threads._chosen)
    yield
    threads._chosen[:] = before


@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize("pieces", [0, 1, 2, 5, 100])
def test_every_piece_is_done_once(count, pieces):
    threads.set_threads(count)
    done = [0] * pieces
    ranges = []

    def work(first, last):
        ranges.append((first, last))
        for piece in range(first, last):
            done[piece] += 1

    threads.for_pieces(work, pieces)
    assert done == [1] * pieces
    assert len(ranges) == min(count, pieces)


def test_threads_work_at_the_same_time():
    threads.set_threads(2)
    both = threading.Barrier(2, timeout=10)
    threads.for_pieces(lambda first, last: both.wait(), 2)


@pytest.mark.parametrize("where", [0, 1])
def test_an_error_arrives_after_all_have_ended(where):
    threads.set_threads(2)
    ended = []

    def work(first, last):
        if first == where:
            raise RuntimeError(f"piece {first}")
        time.sleep(0.05)
        ended.append(first)

    with pytest.raises(RuntimeError, match=f"piece {where}"):
        threads.for_pieces(work, 2)
    assert ended == [1 - where]


def test_what_has_begun_ends_before_a_thread_that_cannot_be_started_is_told(monkeypatch):
    threads.set_threads(3)
    ended = []

    class Full(ThreadPoolExecutor):
        def submit(self, work, first, last):
            if first == 2:
                raise RuntimeError("can't start new thread")
            return super().submit(work, first, last)

    with Full(2) as pool:
        monkeypatch.setattr(threads, "_pool", lambda count, process: pool)

        def work(first, last):
            time.sleep(0.05)
            ended.append(first)

        with pytest.raises(RuntimeError, match="can't start new thread"):
            threads.for_pieces(work, 3)
        assert ended == [1]


def test_one_thread_starts_none():
    threads.set_threads(1)
    seen = []
    threads.for_pieces(lambda first, last: seen.append(threading.current_thread()), 5)
    assert seen == [threading.current_thread()]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_starts_its_own():
    threads.set_threads(2)
    threads.for_pieces(lambda first, last: None, 2)
    child = multiprocessing.get_context("fork").Process(
        target=threads.for_pieces, args=(lambda first, last: None, 2), daemon=True
    )
    child.start()
    child.join(10)
    assert child.exitcode == 0


def test_the_default_follows_omp(monkeypatch):
    threads._chosen.clear()
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert threads.get_threads() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "4, 2")
    assert threads.get_threads() == 4
    for nonsense in ("", "0", "many"):
        monkeypatch.setenv("OMP_NUM_THREADS", nonsense)
        assert threads.get_threads() >= 1


def test_no_threads_are_refused():
    with pytest.raises(ValueError, match=r"^`threads` should be at least 1\. Found 0\.$"):
        threads.set_threads(0)
