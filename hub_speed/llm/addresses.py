"""Where each model is served: as --endpoint or the environment says, or by a server started for one stage.

    --endpoint teacher=https://api.openai.com      or HUB_SPEED_TEACHER_URL, with the key in HUB_SPEED_TEACHER_KEY
    --endpoint senior=http://gpu1:8000,http://gpu2:8000#my-senior      two replicas that call the model my-senior
    --endpoint junior=tgi+http://gpu1:8080      asked in another dialect: chat, completion or tgi
    --endpoint reranker=tei+http://gpu1:8080      a cross-encoder: rerank (as said where nothing is), score or tei
    --endpoint teacher/qwen3=http://gpu1:8000      one of several teachers; the others are at the teacher's

Keys come from the environment only. OPENAI_API_KEY is used for api.openai.com and for no other address. A teacher with
an address of its own has a key of its own: HUB_SPEED_TEACHER_QWEN3_KEY.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast, get_args
from urllib.parse import urlsplit

from hub_speed.errors import RecipeError, did_you_mean
from hub_speed.llm import servers
from hub_speed.llm.address import Address, key_variable, sendable_key, shown
from hub_speed.llm.dialects import RERANKERS, Dialect
from hub_speed.mix import as_mix, heaviest
from hub_speed.recipe import CHAT, Recipe
from hub_speed.record import TEACHER

RERANKER = "reranker"
MODELS = (TEACHER, "base", "junior", "senior", "revisor", RERANKER)
ONE_OF_SEVERAL = f"{TEACHER}/"


class Addresses:
    """The addresses of one run.

    Args:
        given: values of --endpoint.
        stop: whether the user wants to stop; asked while a server starts.

    Raises:
        RecipeError: one of them is not NAME=URL, the URL holds a password, or two addresses have one key.
    """

    def __init__(self, given: list[str], stop: Callable[[], bool] = lambda: False) -> None:
        self._stop = stop
        self._given = {name: os.environ[f"HUB_SPEED_{name.upper()}_URL"] for name in MODELS if _in_environment(name)}
        for value in given:
            name, _, url = value.partition("=")
            known = name in MODELS or name.removeprefix(ONE_OF_SEVERAL) not in ("", name)
            if not known or not url.strip():  # nothing of the value is shown: it may be a key
                wanted = f"NAME=URL, NAME one of {', '.join(MODELS)}, or teacher/MODEL"
                raise RecipeError("--endpoint: not a value of it", expected=wanted, fix=did_you_mean(name, MODELS))
            self._given[name] = url
        self._dialects: dict[str, Dialect] = {}
        for name, url in self._given.items():
            dialect, plus, rest = url.partition("+")
            if plus and dialect.strip() in get_args(Dialect):
                self._dialects[name], url = cast(Dialect, dialect.strip()), rest
            urls, mark, model = url.partition("#")
            split = [part.strip() for part in urls.split(",")]
            self._given[name] = ",".join(split) + mark + model.strip()
            if "@" in urls:
                raise RecipeError(
                    f"endpoint {name}: its address holds a user's name or password",
                    expected="an address without @",
                    fix=f"put the key into {key_variable(name)}",
                )
            if not all(map(_is_address, split)):
                raise RecipeError(
                    f"endpoint {name}: its value is not an address",
                    expected=f"http://… or https://…, or DIALECT+http://…; a key belongs into {key_variable(name)}",
                )

        self._check_keys()

    @contextmanager
    def open(
        self,
        recipe: Recipe,
        name: str,
        weights: Path | None,
        threads: int,
        log: Path,
        gpus: tuple[str, ...] = (),
    ) -> Iterator[Address]:
        """Yields the address of a model; where none was given, starts a server and stops it after the block.

        With `vllm run-batch` no server is started, and the address has no URL.

        Args:
            recipe: the run's recipe.
            name: of the model, "teacher/NAME" for one of several teachers.
            weights: its files, for all but the teacher.
            threads: processor threads a started server may use.
            log: where a started server's messages go.
            gpus: those that started servers may use, as CUDA_VISIBLE_DEVICES names them; (): nobody has said which.

        Raises:
            RecipeError: the teacher or the reranker has no address, a generator is asked in another way than it was
                trained, or there are too few GPUs for `runtime.replicas`.
        """
        if name == RERANKER:
            yield self._reranker(recipe)
            return
        kind, _, of_several = name.partition("/")
        teacher, place = kind == TEACHER, name if name in self._given else kind
        if teacher:
            self._check_teachers(recipe, place)
        chat = teacher or recipe.generator.prompt_format == CHAT
        dialect = self._dialects.get(place, "chat" if chat else "completion")
        prompt_format = "{prompt}" if chat else recipe.generator.prompt_format
        if chat and not teacher and dialect != "chat":
            raise RecipeError(
                f"endpoint {name}: asked in the dialect {dialect}, but trained with a chat template",
                expected="chat, because of generator.prompt_format: chat",
                fix=f"--endpoint {name}={shown(self._given[name])}",
            )
        known_as = (of_several or heaviest(recipe.teacher.model)) if teacher else f"speed-{name}"
        if place in self._given:
            urls, _, model = self._given[place].partition("#")
            model = model or (known_as if teacher else "")
            yield Address(name, model, tuple(urls.split(",")), dialect, prompt_format, _key(place, urls), place)
        elif weights is not None and recipe.runtime.server == "vllm run-batch":
            yield Address(name, known_as, (), dialect, prompt_format)
        elif weights is not None and recipe.runtime.server != "embedded":
            runtime = recipe.runtime
            # `transformers serve` takes the folder for the model's name.
            model = str(weights) if runtime.server == "transformers" else known_as
            places = servers.groups(runtime.server, gpus, runtime.replicas, runtime.server_flags)
            with servers.programs(
                runtime.server,
                weights,
                known_as,
                flags=runtime.server_flags,
                start_s=runtime.server_start_s,
                log=log,
                stop=self._stop,
                gpus=places,
            ) as started:
                dialect = "tgi" if runtime.server == "tgi" and not chat else dialect
                yield Address(name, model, started, dialect, prompt_format, servers=len(started))
        elif weights is not None:
            replicas = min(recipe.runtime.replicas, threads)
            with servers.embedded(weights, known_as, replicas=replicas, threads=threads, log=log) as found:
                yield Address(name, known_as, found, dialect, prompt_format)
        elif recipe.offline:
            with servers.module(["hub_speed.quickstart.teacher", "--rng-seed", str(recipe.rng_seed)], name, log) as url:
                yield Address(name, known_as, (url,), dialect, prompt_format)
        else:
            raise _no_endpoint(recipe, kind, known_as)

    def _reranker(self, recipe: Recipe) -> Address:
        """The address of the cross-encoder, by the recipe's name for it where the address names no other."""
        dialect = self._dialects.get(RERANKER, "rerank")
        if RERANKER not in self._given or dialect not in RERANKERS:
            raise _no_endpoint(recipe, RERANKER, f"{recipe.relabel.reranker}, asked as {', '.join(RERANKERS)}")
        urls, _, model = self._given[RERANKER].partition("#")
        model = model or recipe.relabel.reranker.partition("@")[0]
        return Address(RERANKER, model, tuple(urls.split(",")), dialect, key=_key(RERANKER, urls), place=RERANKER)

    def _check_keys(self) -> None:
        """Raise RecipeError where two addresses would get one key, because their names differ in signs or case only."""
        places: dict[str, str] = {}
        for name in self._given:
            variable = key_variable(name)
            if places.setdefault(variable, name) != name and os.environ.get(variable):
                raise RecipeError(
                    f"--endpoint {name}: its key would be that of {places[variable]}, since both are in {variable}",
                    expected="names that differ in their letters or digits",
                    fix=f"unset {variable}, or take one of the two out of teacher.model",
                )

    def _check_teachers(self, recipe: Recipe, place: str) -> None:
        """Raise RecipeError where a teacher has no address, an address no teacher, or one names a model for several."""
        names = as_mix(recipe.teacher.model)
        for name in names:  # of several, the last one is asked late, when the others have been paid for
            if not recipe.offline and not {TEACHER, ONE_OF_SEVERAL + name} & self._given.keys():
                raise _no_endpoint(recipe, TEACHER, name)
        for name in (given.removeprefix(ONE_OF_SEVERAL) for given in self._given if given.startswith(ONE_OF_SEVERAL)):
            if name not in names or len(names) == 1:
                raise RecipeError(
                    f"--endpoint {ONE_OF_SEVERAL}{name}: recipe {recipe.name} has no such teacher beside others",
                    expected=f"one of {', '.join(names)}" if len(names) > 1 else "--endpoint teacher=URL",
                    fix=did_you_mean(name, names),
                )
        if place == TEACHER and len(names) > 1 and "#" in self._given.get(place, ""):
            raise RecipeError(
                "endpoint teacher: its address names one model, and the recipe has several teachers",
                expected=f"an address without #, which serves {', '.join(names)}",
                fix="give a model its own address: --endpoint teacher/NAME=URL#MODEL",
            )


def _no_endpoint(recipe: Recipe, kind: str, model: str) -> RecipeError:
    """The error that a model has no address."""
    return RecipeError(
        f"recipe {recipe.name}: the {kind} has no endpoint",
        expected=f"the address of a server of {model}",
        fix=f"--endpoint {kind}=https://… or HUB_SPEED_{kind.upper()}_URL; key in {key_variable(kind)}",
    )


def _is_address(url: str) -> bool:
    try:
        return urlsplit(url).scheme in ("http", "https") and bool(urlsplit(url).hostname)
    except ValueError:  # brackets around what is not an IPv6 address
        return False


def _in_environment(name: str) -> bool:
    return bool(os.environ.get(f"HUB_SPEED_{name.upper()}_URL"))


def _key(name: str, urls: str) -> str | None:
    """The key for a model, if there is one.

    Raises:
        RecipeError: it holds a character that cannot be sent.
    """
    variable = key_variable(name)
    key = os.environ.get(variable)
    if key is None and all(urlsplit(url).hostname == "api.openai.com" for url in urls.split(",")):
        variable, key = "OPENAI_API_KEY", os.environ.get("OPENAI_API_KEY")
    return key and sendable_key(key, variable)
