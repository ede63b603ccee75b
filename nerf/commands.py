"""What the command-line programs share: one-line errors, signals, and keeping freed memory and compiled programs."""

import ctypes
import hashlib
import os
import platform
import signal
import sys
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

from absl import app, flags, logging

from nerf.building import ConfigError
from nerf.checkpoints import CheckpointError
from nerf.scenes import SceneError

_DEBUG = flags.DEFINE_bool("debug", False, "Show tracebacks and the libraries' log.")


def run(main: Callable[[list[str]], int], default_config: str | None = None) -> None:
    """Parse the flags, run `main` and exit; errors that a user can mend are lines on stderr and exit code 1.

    `default_config` is what --config means where it is not given. As the flag's own default it would be read, with its
    overrides, while the flag is defined, where no error can be caught.
    """
    app.run(_with_errors(main), flags_parser=lambda argv: _parse_flags(argv, default_config))


def _parse_flags(argv: list[str], default_config: str | None) -> list[str]:
    if default_config and not any(word.partition("=")[0] in ("--config", "-config") for word in argv):
        argv = [argv[0], f"--config={default_config}", *argv[1:]]
    try:
        words = app.parse_flags_with_usage(argv)
        if default_config:
            flags.FLAGS.config.to_dict()  # a file that could not be read says so only when it is used
        return words
    except (AttributeError, KeyError, TypeError, ValueError, OSError) as error:  # of a config file or an override
        if "--debug" in argv:
            raise
        print(f"command line: {in_one_line(error)}", file=sys.stderr)
        sys.exit(1)


def in_one_line(error: Exception) -> str:
    """What a flag or a config file has to say, without line breaks."""
    reason = str(error.args[0] if error.args else error).strip("'").replace("\\n", "\n").replace("\\'", "'")
    return ": ".join(line.strip(" ':") for line in reason.splitlines())


def _with_errors(main: Callable[[list[str]], int]) -> Callable[[list[str]], int]:
    def run_main(argv: list[str]) -> int:
        logging.set_verbosity(logging.INFO if _DEBUG.value else logging.ERROR)
        keep_freed_memory()
        keep_compiled_programs()
        try:
            return main(argv)
        except tuple(_mendable()) as error:
            if _DEBUG.value:
                raise
            print(str(error), file=sys.stderr)
            return 1

    return run_main


def _mendable() -> list[type[Exception]]:
    from nerf.training import TrainingError
    from nerf.video import VideoError
    from nerf.views import RenderingError

    return [ConfigError, CheckpointError, SceneError, TrainingError, VideoError, RenderingError]


class Stop:
    """Which signal asked the program to stop, if any."""

    signal: int | None = None

    @property
    def exit_code(self) -> int:
        return 128 + (self.signal or 0)


@contextmanager
def stop_on_signal():
    """Within it, SIGTERM and SIGINT ask for a stop at the next good moment; a second one ends the program at once."""
    stop = Stop()

    def ask(number: int, _frame) -> None:
        stop.signal = number
        signal.signal(number, signal.SIG_DFL)

    old = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def keep_compiled_programs() -> None:
    """Let JAX find what it compiled in earlier processes: in $JAX_COMPILATION_CACHE_DIR, else in ~/.cache/nerf.

    Each kind of processor has a folder of its own, since a home may be shared by machines that differ. Programs that
    compile in under half a second are not kept, and the least used go when the folder holds more than a gigabyte.
    """
    import jax

    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return  # and JAX's own settings with it
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(home) / "nerf" / hashlib.sha256(_processor().encode()).hexdigest()[:16]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return  # compiling again is all that it costs
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    jax.config.update("jax_compilation_cache_max_size", 2**30)


def _processor() -> str:
    """What a compiled program may depend on: the kind of processor and its instructions."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine() + platform.processor()
    return "".join(dict.fromkeys(line for line in lines if line.startswith(("flags", "model name", "Features"))))


def keep_freed_memory() -> None:
    """Tell glibc to keep large freed blocks instead of returning them to the kernel; elsewhere do nothing.

    XLA on a CPU allocates its temporaries anew in every step: getting fresh zeroed pages for them costs as much as the
    arithmetic (see docs/performance.md).
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        trim_threshold, top_pad, mmap_threshold, arena_max = -1, -2, -3, -8  # of malloc.h
        mallopt(mmap_threshold, 1 << 30)
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(top_pad, 1 << 26)
        mallopt(arena_max, 1)
