"""Requests that are sent some at once."""

from __future__ import annotations

import threading

import pytest

pytest.importorskip("torch")

from ftc.runtime.evaluation.at_once import MOST_SILENT, ask_at_once
from ftc.runtime.training.signals import StopRequest


def _is_fault(one: int | Exception) -> bool:
    return isinstance(one, Exception)


@pytest.mark.parametrize("at_once", [1, 4, 100])
def test_each_request_is_sent_once_and_no_more_than_so_many_at_the_same_time(at_once: int) -> None:
    lock, out, most, asked = threading.Lock(), 0, 0, list[int]()

    def ask(number: int, ended: threading.Event) -> int | Exception:
        nonlocal out, most
        with lock:
            out, asked[:] = out + 1, [*asked, number]
            most = max(most, out)
        ended.wait(0.002)
        with lock:
            out -= 1
        return ValueError() if number % 3 == 0 else number  # what is returned is an answer, whatever it is

    found = ask_at_once(ask, 20, at_once, StopRequest(), is_silent=_is_fault)
    assert sorted(asked) == sorted(found) == list(range(20))
    assert most <= at_once
    assert [number for number in sorted(found) if found[number] == number] == [n for n in range(20) if n % 3]


def test_after_some_in_a_row_without_an_answer_no_more_are_sent() -> None:
    asked: list[int] = []

    def ask(number: int, _ended: threading.Event) -> int | Exception:
        asked.append(number)
        return number if number < 5 else TimeoutError()

    found = ask_at_once(ask, 1000, 1, StopRequest(), is_silent=_is_fault)
    assert len(found) == 5 + MOST_SILENT
    assert all(found[number] == number for number in range(5))


def test_an_error_of_the_program_itself_is_raised() -> None:
    def ask(number: int, _ended: threading.Event) -> int | Exception:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ask_at_once(ask, 3, 2, StopRequest(), is_silent=_is_fault)
