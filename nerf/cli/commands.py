"""What the command-line programs share: one-line errors, signals, streams, freed memory and compiled programs.

Nothing heavy is imported here, so that a program can look around before it spends seconds on importing JAX.
"""

import ctypes
import errno
import hashlib
import os
import platform
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn, TextIO

from absl import app, flags, logging

from nerf.foundation.errors import UserError

CONFIG_VALUE_FLAG = "config_value"
OS_FIXES = {
    errno.ENOENT: "check the path",
    errno.EACCES: "change its permissions, or choose another",
    errno.EPERM: "change its permissions, or choose another",
    errno.EROFS: "choose a folder that can be written to",
    errno.ENOSPC: "make room on its disk",
    errno.EDQUOT: "make room on its disk",
    errno.ENOTDIR: "a file is where the path has a folder: check the path",
    errno.EISDIR: "a folder is where a file is needed: check the path",
}
FIRST_SIGNAL_EXIT_CODE = 128  # exit codes from here on say that a signal asked for the end

_DEBUG = flags.DEFINE_bool("debug", False, "Show tracebacks and the libraries' log.")


def define_config() -> tuple[flags.FlagHolder[str], flags.FlagHolder[list[str]]]:
    """Define --config, and the flag that collects every --config.KEY=VALUE as KEY=VALUE."""
    what = "A config: its name in configs/, a file, or a run folder. --config.KEY=VALUE changes a value of it."
    values = flags.DEFINE_multi_string(
        CONFIG_VALUE_FLAG, [], "What --config.KEY=VALUE becomes: KEY=VALUE."
    )
    return flags.DEFINE_string("config", "ngp", what), values


def run(main: Callable[[list[str]], int]) -> None:
    """Parse the flags, run `main` and exit; errors that a user can fix are lines on stderr and exit code 1."""
    open_streams()
    app.run(_with_errors(main), flags_parser=_parse_flags)


def _parse_flags(argv: Sequence[str]) -> list[str]:
    """Parse the flags and return the other words; a mistake in them is one line on stderr and exit code 1."""
    try:
        return flags.FLAGS(rewrite_words(argv))
    except flags.Error as error:
        print(describe_flag_error(str(error)), file=sys.stderr)
        sys.exit(1)


def describe_flag_error(text: str) -> str:
    """Return one line on a mistake that absl found in the flags."""
    line = " ".join(text.split())
    if found := re.search(r"[Ff]lag --(\w+) must have a value other than None", line):
        return f"--{found[1]}: not given: this program needs it, and --help says what it is"
    line = re.sub(
        r"(could not convert string to float|invalid literal for int).*", "not a number", line
    )
    line = re.sub(r"^flag (--\w+)", r"\1", line)
    return line if "Did you mean" in line else f"{line}: --help lists the flags"


def rewrite_words(argv: Sequence[str]) -> list[str]:
    """Return a command line with ~ at the start of paths expanded, and --config.KEY=VALUE as one flag for all keys."""
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
    """Return a word of a command line with ~ or ~user expanded where a path begins: the shell leaves --flag=~ alone."""
    return re.sub(r"(^|=|\+)(~[\w.-]*)(?=[/\\]|$)", lambda m: m[1] + os.path.expanduser(m[2]), word)


def _with_errors(main: Callable[[list[str]], int]) -> Callable[[list[str]], int]:
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
    """End a program that was asked to stop, without waiting for what the device still computes."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _message_of(error: Exception) -> str | None:
    """What a user is told of an error; None for one that only a developer can fix."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        fix = OS_FIXES.get(error.errno or 0, "--debug shows where")
        return f"{error.filename or 'system'}: {error.strerror}: {fix}"
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error)[:100]:
        fix = "use smaller pictures or fewer of them, or a machine with more memory"
        if "config" in flags.FLAGS:  # of train.py: others have no such flags
            fix = "lower --config.batch_size, --config.chunk or --config.scene.max_side"
        return f"out of memory ({' '.join(str(error).split())[:200]}): {fix}"
    return None


class _Stream:
    """A text stream that goes on where nobody reads it any more: a closed pipe or terminal must not end a training."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def __getattr__(self, name: str):
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
    """Make stdout and stderr usable whatever the program was started with: closed, broken or unable to show a name."""
    while (
        handle := os.open(os.devnull, os.O_RDWR)
    ) <= 2:  # else the next file that is opened would pass for stdout
        pass
    os.close(handle)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name) or open(os.devnull, "w")  # noqa: SIM115
        stream.reconfigure(errors="backslashreplace")
        setattr(sys, name, _Stream(stream))


class Stopped(BaseException):
    """The program was asked to stop while it had nothing to save."""

    def __init__(self, number: int):
        self.exit_code = 128 + number


class Stop:
    """Whether, and by which signal, the program was asked to stop.

    Before it is first asked itself (by calling it), the program has nothing to save, and a signal ends it at once. From
    then on the program is expected to ask again and again, and to finish what it is at.
    """

    GRACE = 2.0  # seconds until a program with nothing to save ends, also where it is busy outside of Python

    def __init__(self) -> None:
        self.signal: int | None = None
        self.asked = False

    def __call__(self) -> bool:
        self.asked = True
        return self.signal is not None

    @property
    def exit_code(self) -> int:
        """Of a program that stopped; as by SIGTERM where it was another process of several that got the signal."""
        return 128 + (self.signal or signal.SIGTERM)

    def end_soon(self, number: int) -> None:
        """End the process unless it does so itself; called in a thread, as soon as the signal comes."""
        time.sleep(self.GRACE)
        if not self.asked:
            os._exit(128 + number)


@contextmanager
def stop_on_signal():
    """Within it, SIGTERM and SIGINT ask for a stop (see `Stop`); a second one ends the program at once."""
    stop = Stop()

    def ask(number: int, _frame) -> None:
        stop.signal = number
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, signal.SIG_DFL)
        if not stop.asked:
            raise Stopped(number)

    def ignored(what) -> None:
        if not isinstance(what.exc_value, Stopped):
            told(what)

    # Where Python swallows what a handler raises, in __del__ and callbacks of C, it tells so; `end_soon` ends it then.
    told, sys.unraisablehook = sys.unraisablehook, ignored
    old = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    # Python runs a handler when the main thread comes back to it, which a compiler may put off for a minute.
    receive, send = (
        socket.socketpair()
    )  # a pipe cannot be non-blocking on Windows before Python 3.12
    send.setblocking(False)
    signal.set_wakeup_fd(send.fileno())
    threading.Thread(target=_watch, args=(receive, stop), daemon=True).start()
    try:
        yield stop
    finally:
        sys.unraisablehook = told
        signal.set_wakeup_fd(-1)
        send.close()
        for number, handler in old.items():
            signal.signal(number, handler)


def _watch(receive: socket.socket, stop: Stop) -> None:
    """Wait for the first signal; return when the other end of the connection is closed."""
    with receive:
        while number := receive.recv(1):
            if number[0] in (signal.SIGTERM, signal.SIGINT):
                stop.end_soon(number[0])


def keep_compiled_programs() -> None:
    """Let JAX find what it compiled in earlier processes: in $JAX_COMPILATION_CACHE_DIR, else in ~/.cache/nerf.

    Each kind of processor has a folder of its own, since a home may be shared by machines that differ. Programs that
    compile in under 0.05 s are not kept, and the least used go when the folder holds more than a gigabyte.
    """
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return  # and JAX's own settings with it
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(home) / "nerf" / hashlib.sha256(_processor().encode()).hexdigest()[:16]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return  # compiling again is all that it costs
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(
        folder
    )  # read when JAX is imported, and by child processes
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.05")
    os.environ.setdefault("JAX_COMPILATION_CACHE_MAX_SIZE", str(2**30))


def _processor() -> str:
    """What a compiled program may depend on: the kind of processor and its instructions."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine() + platform.processor()
    return "".join(
        dict.fromkeys(
            line for line in lines if line.startswith(("flags", "model name", "Features"))
        )
    )


def keep_freed_memory() -> None:
    """Tell glibc to keep large freed blocks instead of returning them to the kernel; elsewhere do nothing.

    XLA on a CPU allocates its temporaries anew in every step: getting fresh zeroed pages for them costs as much as the
    arithmetic (see docs/performance.md).
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        trim_threshold, mmap_threshold, arena_max = -1, -3, -8  # of malloc.h
        mallopt(mmap_threshold, 1 << 30)
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(arena_max, 1)
