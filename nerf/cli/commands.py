"""Shared setup of the command-line programs: flags, one-line errors, signals, streams and caches.

Nothing heavy is imported here, so that a program can check its arguments before it spends seconds
on importing JAX.
"""

import errno
import os
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn, TextIO

from absl import app, flags, logging

from nerf.cli.process_settings import keep_compiled_programs, keep_freed_memory
from nerf.foundation.errors import UserError

CONFIG_VALUE_FLAG = "config_value"  # collects every --config.KEY=VALUE
OS_FIXES = {  # how to fix an OSError
    errno.ENOENT: "check the path",
    errno.EACCES: "change its permissions, or choose another",
    errno.EPERM: "change its permissions, or choose another",
    errno.EROFS: "choose a folder that can be written to",
    errno.ENOSPC: "free space on its disk",
    errno.EDQUOT: "free space on its disk",
    errno.ENOTDIR: "a part of the path is a file, not a folder: check the path",
    errno.EISDIR: "a folder, but a file is needed: check the path",
}
HELP = {"--help", "-help", "-h", "--helpshort", "-?"}
FIRST_SIGNAL_EXIT_CODE = 128  # exit codes from here on mean that a signal stopped the program

_DEBUG = flags.DEFINE_bool("debug", False, "Show tracebacks and the libraries' log.")


def define_config() -> tuple[flags.FlagHolder[str], flags.FlagHolder[list[str]]]:
    """Define --config, and the flag that collects each --config.KEY=VALUE as KEY=VALUE."""
    usage = (
        "A config: its name in configs/, a file, or a run folder. "
        "--config.KEY=VALUE changes a value of it."
    )
    values = flags.DEFINE_multi_string(
        CONFIG_VALUE_FLAG, [], "Internal: KEY=VALUE of each --config.KEY=VALUE."
    )
    return flags.DEFINE_string("config", "ngp", usage), values


def run(main: Callable[[list[str]], int]) -> None:
    """Parse the flags, run `main` and exit.

    Errors that a user can fix are printed as lines on stderr, with exit code 1.
    """
    open_streams()
    if HELP & {word.split("=")[0] for word in sys.argv[1:]}:
        module = sys.modules[main.__module__]
        own = [flags.FLAGS.module_help(name) for name in (module.__name__, __name__)]
        print(module.__doc__, *own, sep="\n")
        sys.exit(0)
    app.run(_with_errors(main), flags_parser=_parse_flags)


def _parse_flags(argv: Sequence[str]) -> list[str]:
    """Parse the flags and return the positional arguments.

    A mistake in the flags is printed as one line on stderr, with exit code 1.
    """
    try:
        return flags.FLAGS(rewrite_words(argv))
    except flags.Error as error:
        print(describe_flag_error(str(error)), file=sys.stderr)
        sys.exit(1)


def describe_flag_error(text: str) -> str:
    """Return a one-line message for an error that absl found in the flags."""
    line = " ".join(text.split())
    if found := re.search(r"[Ff]lag --(\w+) must have a value other than None", line):
        return f"--{found[1]}: not given: this program requires it; --help describes it"
    line = re.sub(
        r"(could not convert string to float|invalid literal for int).*", "not a number", line
    )
    line = re.sub(r"^flag (--\w+)", r"\1", line)
    return line if "Did you mean" in line else f"{line}: --help lists the flags"


def rewrite_words(argv: Sequence[str]) -> list[str]:
    """Rewrite a command line before absl parses it.

    A ~ at the start of a path is expanded, and --config.KEY=VALUE becomes a value of one flag that
    collects all keys.
    """
    words = [argv[0], *(expand_home(word) for word in argv[1:])]
    out: list[str] = []
    while words:
        word = words.pop(0)
        if word == "--":
            return [*out, word, *words]
        if not (found := re.match(r"--?(no)?config\.([^=]+)(=.*)?$", word, re.DOTALL)):
            out.append(word)
            continue
        no, key, value = found.groups()
        if value is None:
            next_is_value = bool(words) and not no and not words[0].startswith("--")
            value = f"={words.pop(0)}" if next_is_value else f"={'false' if no else 'true'}"
        out.append(f"--{CONFIG_VALUE_FLAG}={key}{value}")
    return out


def expand_home(word: str) -> str:
    """Return an argument with ~ or ~user expanded at the start of a path.

    The shell does not expand a ~ inside an argument such as --flag=~/a.
    """
    return re.sub(r"(^|=|\+)(~[\w.-]*)(?=[/\\]|$)", lambda m: m[1] + os.path.expanduser(m[2]), word)


def _with_errors(main: Callable[[list[str]], int]) -> Callable[[list[str]], int]:
    """Wrap `main` so that its errors and stops become messages and exit codes."""

    def run_main(argv: list[str]) -> int:
        logging.set_verbosity(logging.INFO if _DEBUG.value else logging.ERROR)
        keep_freed_memory()
        keep_compiled_programs()
        try:
            code = main(argv)
            return code if code < FIRST_SIGNAL_EXIT_CODE else _leave(code)
        except Stopped as stopped:
            print("stopped", file=sys.stderr)
            return stopped.exit_code
        except Exception as error:
            if _DEBUG.value or (line := _message_of(error)) is None:
                raise
            print(line, file=sys.stderr)
            return 1

    return run_main


def _leave(code: int) -> NoReturn:
    """Exit immediately, without waiting for computations that still run on the device."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _message_of(error: Exception) -> str | None:
    """Return the message for a user error, or None for a bug."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        fix = OS_FIXES.get(error.errno or 0, "--debug shows where")
        return f"{error.filename or 'system'}: {error.strerror}: {fix}"
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error)[:100]:
        fix = "use smaller or fewer pictures, or a machine with more memory"
        if "config" in flags.FLAGS:  # only nerf train has these flags
            fix = "lower --config.batch_size, --config.chunk or --config.scene.max_side"
        return f"out of memory ({' '.join(str(error).split())[:200]}): {fix}"
    return None


class _Stream:
    """A text stream that ignores a closed pipe or terminal.

    Otherwise a training would end when nobody reads its output any more.
    """

    def __init__(self, stream: TextIO):
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:
            self._stream = open(os.devnull, "w")  # noqa: SIM115
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            self._stream = open(os.devnull, "w")  # noqa: SIM115


def open_streams() -> None:
    """Make stdout and stderr usable even if closed or broken.

    Characters that they cannot encode are escaped.
    """
    # Occupy the descriptors 0 to 2; otherwise the next opened file would become stdout.
    while (handle := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(handle)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name) or open(os.devnull, "w")  # noqa: SIM115
        stream.reconfigure(errors="backslashreplace")
        setattr(sys, name, _Stream(stream))


class Stopped(BaseException):
    """Raised when the program is asked to stop while it has nothing to save."""

    def __init__(self, number: int):
        self.exit_code = 128 + number


class Stop:
    """A stop request by a signal.

    Calling it returns whether a stop was requested. Before the first call the program has nothing
    to save, and a signal ends it at once. From then on the program is expected to call it
    repeatedly and to complete its current work before it exits.
    """

    # Seconds until a program with nothing to save is ended, even if it is busy outside Python.
    GRACE = 2.0

    def __init__(self) -> None:
        self.signal: int | None = None
        self.asked = False

    def __call__(self) -> bool:
        self.asked = True
        return self.signal is not None

    @property
    def exit_code(self) -> int:
        """The exit code of a stopped program.

        It is that of SIGTERM if another of several processes received the signal.
        """
        return 128 + (self.signal or signal.SIGTERM)

    def end_soon(self, number: int) -> None:
        """End the process after a grace period unless it stops by itself.

        It is called in a thread, as soon as the signal arrives.
        """
        time.sleep(self.GRACE)
        if not self.asked:
            os._exit(128 + number)


@contextmanager
def stop_on_signal() -> Iterator[Stop]:
    """Turn SIGTERM and SIGINT into a stop request inside the context.

    See `Stop`. A second signal ends the program at once.
    """
    stop = Stop()

    def ask(number: int, _frame: FrameType | None) -> None:
        stop.signal = number
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, signal.SIG_DFL)
        if not stop.asked:
            raise Stopped(number)

    def report_unless_stopped(unraisable: Any) -> None:
        if not isinstance(unraisable.exc_value, Stopped):
            old_hook(unraisable)

    # In __del__ and C callbacks Python only reports an exception of a handler through this hook.
    # Do not report `Stopped`: `end_soon` ends the process then.
    old_hook = sys.unraisablehook
    sys.unraisablehook = report_unless_stopped
    old = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    # Python runs a handler only when the main thread returns to it, which a compilation may delay
    # by a minute. A thread that waits for the wake-up byte sees the signal at once.
    # On Windows before Python 3.12 a pipe cannot be non-blocking, so use a socket pair.
    receive, send = socket.socketpair()
    send.setblocking(False)
    signal.set_wakeup_fd(send.fileno())
    threading.Thread(target=_watch, args=(receive, stop), daemon=True).start()
    try:
        yield stop
    finally:
        sys.unraisablehook = old_hook
        signal.set_wakeup_fd(-1)
        send.close()
        for number, handler in old.items():
            signal.signal(number, handler)


def _watch(receive: socket.socket, stop: Stop) -> None:
    """Wait for the first signal, or until the connection is closed."""
    with receive:
        while number := receive.recv(1):
            if number[0] in (signal.SIGTERM, signal.SIGINT):
                stop.end_soon(number[0])
