"""A small OpenAI-compatible server for one model on this machine, for models that are too small to need vLLM.

    python -m hub_speed.llm.embedded_server FOLDER --name NAME [--batch 96]

Prints `ready PORT` and serves until its standard input is closed, so that it never outlives whoever started it.
Routes: GET /v1/models · POST /v1/completions · POST /v1/chat/completions (with a chat template). It honours
temperature, top_p, n, seed, stop, max_tokens and, for one answer, stream; a JSON schema is refused, because it could
not be enforced.
"""

import argparse
import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from aiohttp import web
from transformers import PreTrainedTokenizerBase

from hub_speed.llm.embedded_engine import Ask, Engine, load
from hub_speed.record import Json

STREAM_S = 0.05  # between two looks at an answer that is streamed. Assumption: faster than anyone reads


class BadRequest(ValueError):
    """The request cannot be served; the text says why."""


def read_request(body: Json, tokenizer: PreTrainedTokenizerBase, context: int, chat: bool) -> Ask:
    """An OpenAI request as an `Ask`.

    Raises:
        BadRequest: something is missing, wrong, or not supported.
    """
    if body.get("response_format") or body.get("structured_outputs"):
        raise BadRequest("this server cannot enforce a schema; leave response_format out")
    if chat:
        if not tokenizer.chat_template:
            raise BadRequest("the model has no chat template: use /v1/completions")
        text = tokenizer.apply_chat_template(body["messages"], tokenize=False, add_generation_prompt=True)
        tokens = tokenizer(text, add_special_tokens=False).input_ids
    else:
        if not isinstance(body.get("prompt"), str):
            raise BadRequest("prompt must be a string")
        tokens = tokenizer(body["prompt"]).input_ids
        if tokens and tokens[-1] == tokenizer.eos_token_id:
            tokens = tokens[:-1]  # a tokenizer that closes every text would end the answer before it begins
    if len(tokens) >= context:
        raise BadRequest(f"the prompt has {len(tokens)} tokens, the model reads {context}")
    body = {name: value for name, value in body.items() if value is not None}  # null is the same as left out
    stop = body.get("stop", ())
    seed = body.get("seed")
    ask = Ask(
        tokens=list(tokens),
        n=int(body.get("n", 1)),
        temperature=float(body.get("temperature", 1.0)),
        top_p=float(body.get("top_p", 1.0)),
        max_tokens=min(int(body.get("max_tokens", 256)), context - len(tokens)),
        seed=int.from_bytes(os.urandom(6), "big") if seed is None else int(seed),
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
    )
    if not (1 <= ask.n <= 64 and 0 <= ask.temperature <= 10 and 0 < ask.top_p <= 1 and ask.max_tokens >= 1):
        raise BadRequest("n must be 1-64, temperature 0-10, top_p above 0 and at most 1, max_tokens at least 1")
    return ask


def app(engine: Engine, name: str) -> web.Application:
    """The HTTP application around an engine."""

    def error(status: int, message: str) -> web.Response:
        return web.json_response({"error": {"message": message, "code": status}}, status=status)

    async def models(_: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": name, "object": "model", "owned_by": "local"}]})

    async def complete(request: web.Request) -> web.StreamResponse:
        chat = "chat" in request.path
        try:
            body = await request.json()
            if body.get("model") not in (name, None):
                return error(404, f"the model {body.get('model')} is not served here, only {name}")
            ask = read_request(body, engine.tokenizer, engine.context, chat)
        except (ValueError, TypeError, KeyError, AttributeError) as problem:
            return error(400, str(problem))
        if body.get("stream") and ask.n == 1:
            return await _stream(request, engine, ask, chat, name)
        answers = await asyncio.wrap_future(engine.submit(ask))
        choices = []
        for i, answer in enumerate(answers):
            text = engine.text(answer)
            content: Json = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
            choices.append({"index": i, "finish_reason": answer.finish_reason} | content)
        return web.json_response({"object": "completion", "model": name, "choices": choices, "usage": _usage(ask)})

    application = web.Application(client_max_size=4 << 20)
    application.router.add_get("/v1/models", models)
    application.router.add_post("/v1/completions", complete)
    application.router.add_post("/v1/chat/completions", complete)
    return application


def _usage(ask: Ask) -> Json:
    """The tokens read and written for a prompt."""
    read, written = len(ask.tokens), sum(len(answer.tokens) for answer in ask.answers)
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


async def _stream(request: web.Request, engine: Engine, ask: Ask, chat: bool, name: str) -> web.StreamResponse:
    """Send an answer as it grows; where nobody reads any more, it is written no further."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})

    async def send(text: str, reason: str | None, **more: Any) -> None:
        content = {"delta": {"content": text}} if chat else {"text": text}
        event = {"object": "completion.chunk", "model": name, "choices": [{"finish_reason": reason} | content]} | more
        await response.write(f"data: {json.dumps(event)}\n\n".encode())

    await response.prepare(request)
    sent, done = "", asyncio.wrap_future(engine.submit(ask))
    try:
        while not (await asyncio.wait([done], timeout=STREAM_S))[0]:
            text = engine.text(ask.answers[0]) if ask.answers else ""
            if len(text) > len(sent) and not text.endswith("\ufffd"):  # a character whose bytes are not all there
                await send(text[len(sent) :], None)
                sent = text
        answer = done.result()[0]
        await send(engine.text(answer)[len(sent) :], answer.finish_reason, usage=_usage(ask))
        await response.write(b"data: [DONE]\n\n")
    except BaseException:
        ask.max_tokens = 0
        raise
    return response


async def serve(engine: Engine, name: str, port: int) -> None:
    """Serve until standard input is closed."""
    runner = web.AppRunner(app(engine, name), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    sys.stdout.write(f"ready {runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--batch", type=int, default=96)
    args = parser.parse_args()
    asyncio.run(serve(Engine(*load(args.folder), args.batch), args.name, args.port))


if __name__ == "__main__":
    main()
