"""Celery, dramatiq and arq on Redis doing durable no-op work, concurrency 50: tasks per second from the first to the last.

Starts a Redis of its own on the loopback interface, with an append-only file synced every second. `peers.py worker NAME` is a worker.
"""

from __future__ import annotations

import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any

QUICK = os.environ.get("CAMPAIGN_BENCH_QUICK", "0") != "0"
ROUNDS = 1 if QUICK else 3
TASKS = {name: 200 if QUICK else number for name, number in (("celery", 5_000), ("dramatiq", 20_000), ("arq", 8_000))}
CONCURRENCY = 50
URL = os.environ.get("PEERS_REDIS", "")
# arq wants another client of Redis than the others, so it has an environment of its own.
PYTHON = {"arq": os.environ.get("PEERS_ARQ_PYTHON", sys.executable)}


class Count:
    """Counts tasks in the worker and prints the rate after the last."""

    def __init__(self, name: str) -> None:
        self.left = TASKS[name]
        self.total = self.left
        self.begun = 0.0
        self.lock = threading.Lock()

    def one(self) -> None:
        with self.lock:
            if self.left == self.total:
                self.begun = time.perf_counter()
            self.left -= 1
            if self.left == 0:
                print(f"RATE {self.total / (time.perf_counter() - self.begun)}", flush=True)


def celery_app() -> Any:
    from celery import Celery

    app = Celery("peers", broker=URL)
    app.conf.update(task_ignore_result=True, task_acks_late=True, worker_redirect_stdouts=False, broker_connection_retry_on_startup=True)
    count = Count("celery")

    @app.task(name="work")
    def work() -> None:
        count.one()

    return app, work


def dramatiq_actor() -> Any:
    import dramatiq
    from dramatiq.brokers.redis import RedisBroker

    broker = RedisBroker(url=URL)
    dramatiq.set_broker(broker)
    count = Count("dramatiq")

    @dramatiq.actor
    def work() -> None:
        count.one()

    return broker, work


def worker(name: str) -> None:
    if name == "celery":
        app, _ = celery_app()
        app.worker_main(["worker", "--pool=threads", f"--concurrency={CONCURRENCY}", "--loglevel=ERROR", "--without-gossip"])
    elif name == "dramatiq":
        import dramatiq

        broker, _ = dramatiq_actor()
        dramatiq.Worker(broker, worker_threads=CONCURRENCY).start()
        threading.Event().wait()
    else:
        import asyncio

        from arq.connections import RedisSettings
        from arq.worker import create_worker, func

        count = Count("arq")

        async def work(ctx: dict[str, Any]) -> None:
            count.one()

        asyncio.set_event_loop(asyncio.new_event_loop())
        settings = {"redis_settings": RedisSettings.from_dsn(URL), "max_jobs": CONCURRENCY, "poll_delay": 0.01}
        create_worker({"functions": [func(work, name="work", keep_result=0)], **settings}).run()


def enqueue(name: str) -> None:
    if name == "celery":
        app, work = celery_app()
        with app.producer_pool.acquire(block=True) as producer:
            for _ in range(TASKS[name]):
                work.apply_async(producer=producer)
    elif name == "dramatiq":
        _, work = dramatiq_actor()
        for _ in range(TASKS[name]):
            work.send()
    else:
        import asyncio

        from arq import create_pool
        from arq.connections import RedisSettings

        async def fill() -> None:
            pool = await create_pool(RedisSettings.from_dsn(URL))
            for _ in range(TASKS[name]):
                await pool.enqueue_job("work")
            await pool.aclose()

        asyncio.run(fill())


def measure(name: str, url: str) -> float:
    environment = {**os.environ, "PEERS_REDIS": url}
    python = PYTHON.get(name, sys.executable)
    subprocess.run([python, __file__, "enqueue", name], env=environment, check=True, timeout=120)
    running = subprocess.Popen([python, __file__, "worker", name], env=environment, stdout=subprocess.PIPE, text=True)
    timer = threading.Timer(120, running.kill)
    timer.start()
    try:
        assert running.stdout is not None
        for line in running.stdout:
            if line.startswith("RATE "):
                return float(line.split()[1])
        raise RuntimeError(f"{name} ended without a rate")
    finally:
        timer.cancel()
        running.kill()
        running.wait()


def main() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--appendonly", "yes", "--save", ""]
        redis = subprocess.Popen(["redis-server", *arguments], stdout=subprocess.DEVNULL)
        try:
            for _ in range(100):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.05)
            rates: dict[str, list[float]] = {name: [] for name in TASKS}
            for _ in range(ROUNDS):
                for name, found in rates.items():
                    found.append(measure(name, f"redis://127.0.0.1:{port}/0"))
            print("| on Redis, no-op tasks, concurrency 50 | tasks/s |\n|---|---|")
            for name, found in rates.items():
                print(f"| {name} | {statistics.median(found):,.0f} |")
        finally:
            redis.send_signal(signal.SIGTERM)
            redis.wait()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["worker", which]:
            worker(which)
        case ["enqueue", which]:
            enqueue(which)
        case _:
            main()
