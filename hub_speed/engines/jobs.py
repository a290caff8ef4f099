"""Ranks as Jobs."""

from hub_speed.engines import Options


class Jobs:
    def __init__(self, options: Options) -> None: ...
