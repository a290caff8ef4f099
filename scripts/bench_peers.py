"""The clients of other projects for `bench_engine.py`, each run by an interpreter of its own environment.

    VENV/bin/python scripts/bench_peers.py {datatrove,distilabel} URL IN_FLIGHT FOLDER

FOLDER holds requests.jsonl: one line a request, `text` its JSON body. Each peer does the same with its own means, as
its documentation has it: asks, keeps the answers, writes them as files. Prints processor seconds, with those of the
processes it starts, the largest of their resident memories, and when it ended.

    pip install 'datatrove[io]' aiofiles aiohttp aiosqlite httpx openai orjson uvloop
    pip install 'distilabel[openai]' requests
"""

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any


def with_datatrove(url: str, in_flight: int, folder: Path) -> None:
    """InferenceRunner on an endpoint that is already there, with checkpoints: without, a crash loses the task."""
    from datatrove.executor.local import LocalPipelineExecutor
    from datatrove.pipeline.inference.run_inference import InferenceConfig, InferenceRunner
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import ParquetWriter

    async def ask(document: Any, generate: Any) -> Any:
        import json  # steps are sent to other processes, and know only what is in them

        return json.loads((await generate(json.loads(document.text))).text)

    config = InferenceConfig(
        server_type="endpoint",
        model_name_or_path="fake",
        endpoint_url=url,
        api_key="none",
        max_concurrent_generations=in_flight,
        rollouts_per_document=1,
        request_timeout=60,
        server_ready_delay_sec=0.2,
        server_ready_max_attempts=20,
    )
    runner = InferenceRunner(
        rollout_fn=ask,
        config=config,
        output_writer=ParquetWriter(str(folder / "out"), output_filename="${rank}_${chunk_index}.parquet"),
        records_per_chunk=1000,
        checkpoints_local_dir=str(folder / "checkpoints"),
    )
    reader = JsonlReader(str(folder), glob_pattern="requests.jsonl")
    LocalPipelineExecutor(pipeline=[reader, runner], tasks=1, workers=1, logging_dir=str(folder / "logs")).run()


def with_distilabel(url: str, in_flight: int, folder: Path) -> None:
    """A pipeline of one TextGeneration step; a batch of it is what is in flight."""
    from distilabel.models import OpenAILLM
    from distilabel.pipeline import Pipeline
    from distilabel.steps import LoadDataFromDicts
    from distilabel.steps.tasks import TextGeneration

    with open(folder / "requests.jsonl", encoding="utf-8") as file:
        bodies = [json.loads(json.loads(line)["text"]) for line in file]
    data = [{"instruction": body["messages"][-1]["content"]} for body in bodies]
    with Pipeline("bench", cache_dir=str(folder / "cache")) as pipeline:
        load = LoadDataFromDicts(data=data, batch_size=in_flight)
        model = OpenAILLM(
            model="fake", base_url=f"{url}/v1", api_key="none", generation_kwargs={"max_new_tokens": 2048}
        )
        load >> TextGeneration(llm=model, input_batch_size=in_flight, add_raw_output=False, add_raw_input=False)
    rows = pipeline.run(use_cache=False)["default"]["train"]
    assert len(rows) == len(data)
    rows.to_parquet(str(folder / "out.parquet"))


PEERS = {"datatrove": with_datatrove, "distilabel": with_distilabel}


def main() -> None:
    """Command line."""
    name, url, in_flight, folder = sys.argv[1:]
    PEERS[name](url, int(in_flight), Path(folder))
    ended = time.time()
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu_s = sum(each.ru_utime + each.ru_stime for each in used)
    memory_mb = max(each.ru_maxrss for each in used) / 1024
    print(json.dumps({"cpu_s": cpu_s, "memory_mb": memory_mb, "ended": ended}))


if __name__ == "__main__":
    main()
