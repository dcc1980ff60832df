"""The one exception that stands for a user's mistake."""


class UserError(Exception):
    """A mistake that the user can mend: what is wrong, where (file, key, volume), and what to do.

    The command line prints its text without a traceback. Everything else that is raised is a defect of BrainSR.
    """
