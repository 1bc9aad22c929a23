"""The runner of examples: what it lets pass, and that it lets nothing else pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.examples import failures

TRUE = """# A page

```sh
echo 'seven 7' > made.txt; cd /
```

1. A step:

    ```console
    $ cat made.txt
    seven 8.5
    $ echo id 0123456789ab
    id ab0123456789
    $ printf 'a\\nb\\nc\\n'
    a
    ...
    b
    ...
    $ printf 'A sentence. And\\nmore.\\n'
    A sentence. ...
    more.
    ...
    $ cat made.txt \\
    > | tr s S; echo behind >&2
    Seven 7
    ...d
    $ cat absent.txt
    cat: ... No such file or directory
    $ echo $?
    1
    ```

<!-- invisible-code-block: python
hidden = 1
-->

```python title="script.py"
from pathlib import Path

if __name__ == "__main__":
    text = Path("made.txt").read_text()
```

```pycon
>>> text, hidden
('seven 7\\n', 1)
>>> list(range(100))
[0, 1, ..., 99]
```

<!-- skip: next "needs R" -->
```r
1 <- 2
```

<!-- skip: next "needs minutes: make stress runs it, and tests/docs/test_runner.py." -->
```sh
make stress
```

<!-- skip: next "needs no run: a drawing" -->
```text
o-->
```

```toml
[table]
key = 1
```
"""


def run(tmp_path: Path, text: str) -> list[str]:
    page = tmp_path / "page.md"
    page.write_text(text)
    return failures(page)


def test_a_page_that_tells_the_truth_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(tmp_path, TRUE) == []


@pytest.mark.parametrize(
    "block, told",
    [
        ("```console\n$ echo one\ntwo\n```", ["line 4: $ echo one", "Expected:\n    two\nGot:\n    one"]),
        ("```console\n$ echo one\n```", ["Expected:\nGot:\n    one"]),
        ("```console\n$ true\none\n```", ["Expected:\n    one\nGot:\n"]),
        ("```console\n$ echo one two\none. ...\n```", ["Got:\n    one two"]),
        ("```console\n$ echo one two\n...one\n```", ["Got:\n    one two"]),
        ("```console\n$ false\n```", ["line 4: $ false", "exit status 1"]),
        ("```console\n$ (exit 2)\n$ echo $?\n1\n```", ["line 5: $ echo $?", "Expected:\n    1\nGot:\n    2"]),
        ("```console\n$ exit 0\n$ true\n```", ["ended after 0 of 2 commands"]),
        ("```console\n$ echo 'one\n```", ["ended after 0 of 1 commands", "unexpected EOF"]),
        ("```console\nprompt> true\n```", ["ended after 0 of 0 commands"]),
        ("```sh\ntrue\ncat absent.txt\n```", ["exit status 1 at line 5: cat absent.txt", "No such file"]),
        ("```sh\nfalse | true\n```", ["exit status 1 at line 4"]),
        ("```sh\necho $UNHEARD_OF\n```", ["UNHEARD_OF: unbound variable"]),
        ("```python\nx = 1\nx / 0\n```", ['page.md", line 5', "x / 0", "ZeroDivisionError"]),
        ("```pycon\n>>> 1 + 1\n3\n```", ["line 4", "1 + 1", "Expected:\n    3\nGot:\n    2"]),
        ("```pycon\n1 + 1\n```", ["no >>>"]),
        ("```toml\n[table\n```", ["line 1"]),
        ("```r\nx <- 1\n```", ["nothing runs a block of 'r'"]),
        ("```\nplain\n```", ["nothing runs a block of ''"]),
        ("~~~ text\nplain\n~~~", ["nothing runs a block of 'text'"]),
        ("<!-- skip: next -->\n```r\n```", ["needs ..."]),
        ('<!-- skip: next "too long" -->\n```r\n```', ["needs ..."]),
        ('<!-- skip: next "needs minutes" -->\n```sh\n```', ["needs ..."]),
        ('<!-- skip: next "needs minutes: far too many" -->\n```sh\n```', ["far too many"]),
        ('<!-- skip: next "needs minutes: make test, make nothing" -->\n```sh\n```', ["make nothing"]),
        ('<!-- skip: next "needs minutes: tests/nothing.py" -->\n```sh\n```', ["tests/nothing.py"]),
        ('<!-- skip: start "needs R" -->\n```r\n```', ["needs ..."]),
        ('<!-- skip: next "needs R" -->', ["no block follows the last skip"]),
    ],
)
def test_what_is_wrong_fails_and_is_told(
    block: str, told: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    report = "\n".join(run(tmp_path, f"# A page\n\n{block}\n"))
    assert [words for words in [str(tmp_path / "page.md"), *told] if words not in report] == []


def test_a_block_whose_mark_is_wrong_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(run(tmp_path, "<!-- skip: next -->\n```sh\ntouch made.txt\n```\n")) == 1
    assert not Path("made.txt").exists()


def test_a_command_that_hangs_is_killed_with_its_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.support.examples.PATIENCE_S", 0.5)
    (told,) = run(tmp_path, "```sh\necho started\nsleep 600 | cat\n```\n")
    assert "killed after 0.5 s; it had printed:\nstarted" in told
