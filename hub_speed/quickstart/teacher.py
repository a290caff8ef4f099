"""The offline teacher: an OpenAI-compatible endpoint behind which a script answers, not a language model.

    python -m hub_speed.quickstart.teacher [--port 0] [--rng-seed 0]

It answers the requests the pipeline makes (brainstorm, synthesis, judge, revision, and those about passages) from a
small world of facts, so that the whole loop can be run and measured anywhere. It obeys every knob; its judgements and
revisions follow the facts and the guidelines, and nothing else. Its reasons are shorter than the prompts ask for,
because the tiny revisor has to learn to write them. Some of its questions about passages have a flaw on purpose. A
real model takes its place with `--endpoint teacher=URL`.
"""

import argparse
import asyncio
import json
import random
import sys
from typing import Any

from aiohttp import web

from hub_speed.quickstart import questioner, requests, reviser, rubric, tasks, writer
from hub_speed.quickstart.requests import (
    AskForQuestion,
    Brainstorm,
    Judge,
    Judgement,
    NotUnderstood,
    Recall,
    Relabel,
    Revise,
    Synthesis,
)
from hub_speed.quickstart.writer import OtherWorld
from hub_speed.recipe.whole import OFFLINE_TEACHER
from hub_speed.text import words


def answer(prompt: str, rng: random.Random) -> str:
    """The teacher's answer to a prompt of the pipeline: one JSON object.

    Raises:
        NotUnderstood: the prompt is none of the pipeline's.
        OtherWorld: it is about something the world does not hold.
    """
    request = requests.read(prompt)
    if isinstance(request, Brainstorm):
        topic = tasks.read_topic(request.topic)
        if topic is None:
            raise OtherWorld(f"the offline teacher knows nothing of the topic {request.topic!r}")
        found: dict[str, Any] = {"tasks": tasks.word(request.task_type, topic, request.count, rng)}
    elif isinstance(request, Synthesis):
        found = dict(writer.write(request, rng))
    elif isinstance(request, Judgement):
        found = judge(request)
    elif isinstance(request, AskForQuestion):
        found = dict(questioner.write(request, rng))
    elif isinstance(request, Recall):
        found = dict(questioner.recall(request))
    elif isinstance(request, Judge):
        found = questioner.judge(request)
    elif isinstance(request, Relabel):
        found = questioner.relabel(request)
    else:
        found = revise(request, rng)
    return json.dumps(found, ensure_ascii=False)


def judge(request: Judgement) -> dict[str, Any]:
    """Best and worst of the candidates; the same index twice when all are equally good."""
    found = [rubric.defects(request.request, candidate) for candidate in request.candidates]
    penalties = [rubric.penalty(defects) for defects in found]
    best, worst = penalties.index(min(penalties)), penalties.index(max(penalties))
    if penalties[best] == penalties[worst]:
        return {"reason": "all are equally good", "best": best, "worst": best}
    better = f"less is wrong with [{best}]" if found[best] else f"nothing is wrong with [{best}]"
    return {"reason": f"[{worst}]: {', '.join(found[worst][:3])}; {better}", "best": best, "worst": worst}


def revise(request: Revise, rng: random.Random) -> dict[str, Any]:
    """What is wrong with a draft, and the better version. Nothing here is better than a draft without a flaw."""
    reason, revision = reviser.revise(request.request, request.draft, rng)
    return {"reason": reason, "revision": revision}


def app(rng_seed: int) -> web.Application:
    """The HTTP application. The same prompt and seed get the same answer."""

    async def models(_: web.Request) -> web.Response:
        return web.json_response(
            {"object": "list", "data": [{"id": OFFLINE_TEACHER, "object": "model", "owned_by": "hub_speed"}]}
        )

    async def complete(request: web.Request) -> web.Response:
        try:
            body = await request.json()
            prompt = body["messages"][-1]["content"]
            n = int(body.get("n") or 1)
            texts = [answer(prompt, random.Random(f"{rng_seed}/{body.get('seed')}/{i}/{prompt}")) for i in range(n)]
        except (NotUnderstood, OtherWorld) as error:
            return web.json_response({"error": {"message": str(error)}}, status=400)
        except (ValueError, LookupError, TypeError) as error:
            return web.json_response({"error": {"message": f"not a chat request: {error!r}"}}, status=400)
        # Words stand for tokens: a script has none of its own.
        read, written = len(words(prompt)), sum(len(words(text)) for text in texts)
        choices = [
            {"index": i, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
            for i, text in enumerate(texts)
        ]
        usage = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
        return web.json_response(
            {"object": "chat.completion", "model": OFFLINE_TEACHER, "choices": choices, "usage": usage}
        )

    application = web.Application(client_max_size=4 << 20)
    application.router.add_get("/v1/models", models)
    application.router.add_post("/v1/chat/completions", complete)
    return application


async def serve(port: int, rng_seed: int) -> None:
    """Serve on loopback until standard input is closed."""
    runner = web.AppRunner(app(rng_seed), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    sys.stdout.write(f"ready {runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--rng-seed", type=int, default=0)
    args = parser.parse_args()
    asyncio.run(serve(args.port, args.rng_seed))


if __name__ == "__main__":
    main()
