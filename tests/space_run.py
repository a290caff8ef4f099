"""A finished tiny run that the tests of the Space share: made once, for all test processes."""

import random
import re

import pytest
from fake_openai import Asked, FakeOpenAI, Reply, as_json, choices, text
from running import Cli, made_once

from hub_speed.quickstart import teacher
from hub_speed.quickstart.writer import OtherWorld

HOSTILE = '<img src=x onerror="alert(1)">${7*7}'
VALUES = {
    "seed.rows": 16,
    "junior.epochs": 1,
    "root.rows": 16,
    "preference.rows": 16,
    "root.candidates": 2,
    "revisor.epochs": 1,
    "synthesize.rows": 48,
    "synthesize.generator": "junior",
    "embedder.epochs": 1,
}


def answer(asked: Asked) -> Reply:
    """What good models would say; every fifth prompt for a draft gets no JSON."""
    prompt = asked.prompt.removesuffix(" [/INST]")
    prompt = re.sub(r"\n\nBase the example on the document below.*?\n>>>", "", prompt, flags=re.DOTALL)
    if asked.n == 1 and "Check the data" not in prompt and sum(map(ord, prompt)) % 5 == 0:
        return text(asked, f"I would rather not. {HOSTILE}")
    try:
        found = [teacher.answer(prompt, random.Random(f"{i} {prompt}")) for i in range(asked.n)]
    except OtherWorld:
        return text(asked, "I know nothing of that.")
    return as_json(choices(asked, found))


def copy_of_run(factory: pytest.TempPathFactory) -> Cli:
    """The command line in a home of its own, with the least that makes an embedder of revised rows.

    An endpoint answers in place of the models that are trained.
    """

    def make(cli: Cli) -> None:
        with FakeOpenAI(answer) as models:
            cli.env |= {"HUB_SPEED_JUNIOR_URL": models.url, "HUB_SPEED_REVISOR_URL": models.url}
            cli("run", "quickstart", "--only", "embedder", *(f"--set={n}={value}" for n, value in VALUES.items()))

    return made_once(factory, "space-run", make)
