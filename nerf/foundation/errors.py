"""What all errors that a user can fix have in common."""


class UserError(Exception):
    """Its message is one line, or one for each problem: what, why, what to do. Commands show it without a traceback."""
