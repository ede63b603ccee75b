"""Base class of all errors that a user can fix."""


class UserError(Exception):
    """An error that a user can fix; commands show its message without a traceback.

    The message has one line for each problem: where, what is wrong, how to fix it.
    """
