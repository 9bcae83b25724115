"""Answers one question with one of the peers, in this process, and writes the result to a Parquet file.

Started by `compare.py` in the venv, one fresh process per run. Prints one JSON line: the version, and
`query_s`, the time from before the engine is configured until the result file is closed. The time of
the interpreter and of the imports is outside of it, so that a peer does not pay for Python.
"""

import argparse
import json
import os
import sys
import time

sys.dont_write_bytecode = True
import queries  # noqa: E402

MIB = 1 << 20


def settings(engine, budget, threads, spill_dir):
    """The environment variables through which a peer takes its budget and threads; read at import."""
    if engine == "polars":
        return {
            "POLARS_MAX_THREADS": str(threads),
            "POLARS_OOC_MEMORY_BUDGET_MB": str(budget // MIB),
            "POLARS_OOC_SPILL_DIR": str(spill_dir),
            "POLARS_TEMP_DIR": str(spill_dir),
        }
    if engine == "datafusion":
        return {"TOKIO_WORKER_THREADS": str(threads), "TMPDIR": str(spill_dir)}
    return {}


def prepare_duckdb(task):
    import duckdb

    def answer():
        connection = duckdb.connect()
        connection.execute(f"SET threads = {task.threads}")
        connection.execute(f"SET temp_directory = '{task.spill_dir}'")
        connection.execute("SET preserve_insertion_order = false")
        if task.budget:
            connection.execute(f"SET memory_limit = '{task.budget // MIB}MiB'")
        sql = task.question.text_for("duckdb", task.data)
        connection.execute(f"COPY ({sql}) TO '{task.out}' (FORMAT parquet, COMPRESSION zstd)")

    return duckdb.__version__, answer


def polars_frame(task, tables):
    """The question as Polars is asked it: in SQL, except where only another form is what its users would write."""
    import polars

    if task.question.name == "q8":
        # Its row_number() takes twice the processor time. The db-benchmark asks it like this as well.
        largest = polars.col("v3").top_k(2)
        return tables["x"].drop_nulls("v3").group_by("id6").agg(largest).explode("v3")
    return polars.SQLContext(tables).execute(task.question.text_for("polars", task.data))


def prepare_polars(task):
    import polars

    def answer():
        scan = polars.scan_csv if task.question.file_format == "csv" else polars.scan_parquet
        tables = {table: scan(file) for table, file in task.question.files(task.data).items()}
        frame = polars_frame(task, tables)
        frame.sink_parquet(
            task.out, compression="zstd", engine="streaming", maintain_order=bool(task.question.order)
        )

    return polars.__version__, answer


def prepare_datafusion(task):
    import datafusion

    def answer():
        runtime = datafusion.RuntimeEnvBuilder().with_disk_manager_specified(task.spill_dir)
        if task.budget:
            runtime = runtime.with_fair_spill_pool(task.budget)
        config = datafusion.SessionConfig().with_target_partitions(task.threads)
        context = datafusion.SessionContext(config, runtime)
        is_csv = task.question.file_format == "csv"
        register = context.register_csv if is_csv else context.register_parquet
        for table, file in task.question.files(task.data).items():
            register(table, str(file))
        sql = task.question.text_for("datafusion", task.data)
        options = "('compression' 'zstd(3)')"
        context.sql(f"COPY ({sql}) TO '{task.out}' STORED AS PARQUET OPTIONS {options}").collect()

    return datafusion.__version__, answer


PREPARE = {"duckdb": prepare_duckdb, "polars": prepare_polars, "datafusion": prepare_datafusion}


def resident_bytes():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("engine", choices=PREPARE)
    parser.add_argument("question", type=queries.BY_NAME.__getitem__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--spill-dir", required=True)
    parser.add_argument("--budget", type=int, default=0, help="bytes; 0 is no limit")
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def main():
    task = arguments()
    version, answer = PREPARE[task.engine](task)
    imported_bytes, started = resident_bytes(), time.monotonic()
    answer()
    query_s = round(time.monotonic() - started, 3)
    print(json.dumps({"version": version, "query_s": query_s, "imported_bytes": imported_bytes}))


if __name__ == "__main__":
    main()
